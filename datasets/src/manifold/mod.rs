//! Synthetic manifolds whose local intrinsic dimension (LID) is known at every point.
//!
//! [`MANIFOLDS`] lists them by name; one file a family. A [`Manifold`] is a fixed set: its geometry (random maps, centres) comes
//! from a seed of its own, so that samples of different seeds, to train and to test, lie on the same manifold.
//!
//! ```
//! use atypical_data::manifold::Manifold;
//! let points = Manifold::by_name("lollipop").unwrap().sample(100, 0);
//! assert_eq!((points.dimension, points.values.len(), points.lid.len()), (2, 200, 100));
//! assert!(points.lid.iter().all(|lid| [0.0, 1.0, 2.0].contains(lid)));
//! ```

mod affine;
mod charts;
mod decoder;
mod draw;
mod flow;
mod klein;
mod lollipop;
mod multiscale;
mod registry;
mod sphere;
mod squiggly;
mod swiss_roll;
mod torus;
mod von_mises;

pub use affine::{Affine, Component};
pub use charts::Points;
pub use decoder::{Decoder, Decoders};
pub use draw::Law;
pub use draw::normal;
pub use flow::FlowWarped;
pub use klein::KleinBottle;
pub use lollipop::Lollipop;
pub use multiscale::MultiscaleGaussian;
pub use registry::{Family, MANIFOLDS, Manifold};
pub use sphere::Sphere;
pub use squiggly::Squiggly;
pub use swiss_roll::SwissRoll;
pub use torus::TorusCircle;
pub use von_mises::VonMises;
