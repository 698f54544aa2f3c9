//! The Jacobian of a decoder and its spectrum, against the real nflows in f64 (`scripts/reference/flow_goldens.py`).

#[allow(dead_code)]
#[path = "../models/tests/golden/mod.rs"]
mod golden;

use atypical::{
    jacobian::{self, Linearized, Memory},
    lid::Spectrum,
};
use burn::backend::Flex;
use golden::Golden;

#[test]
fn spectra_are_those_of_nflows() {
    for name in ["flow_vector_rq", "flow_image_rq", "flow_image_glow"] {
        let golden = Golden::open(name);
        let flow = golden.flow::<Flex>();
        let z = golden.batch::<Flex>("z_decode");
        let dimension = z.dims()[1];
        for sample in 0..2 {
            let z = z.clone().narrow(0, sample, 1);
            let jacobian =
                jacobian::decoder(&Linearized::new(&flow, z.clone()), Memory::mib(64)).unwrap();
            let wide: Vec<f64> = jacobian.iter().map(|v| f64::from(*v)).collect();
            let (error, allowed) = golden.jacobian_error(sample, &wide, 1e-5);
            assert!(
                error < allowed,
                "{name}: the Jacobian is off by {error:.1e}, more than {allowed:.1e}"
            );

            let z: Vec<f32> = z.into_data().iter::<f32>().collect();
            let spectrum = Spectrum::new(&jacobian, &z).unwrap();
            let expected = &golden.get("eigenvalues").0[sample * dimension..][..dimension];
            // Each eigenvalue relative to itself, down to the smallest of JᵀJ.
            let error = spectrum
                .eigenvalues()
                .iter()
                .zip(expected.iter().rev())
                .map(|(got, expected)| (got - expected).abs() / expected)
                .fold(0.0, f64::max);
            let allowed = (2.0 * golden.get("eigenvalues_f32_error").0[sample]).max(1e-5);
            assert!(
                error < allowed,
                "{name}: an eigenvalue is off by {error:.1e}, more than {allowed:.1e}"
            );
        }
        golden.close(flow.decode(golden.batch("z_decode")).0, "x_decode", 1e-5);
    }
}
