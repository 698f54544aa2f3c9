//! What `ood` reads.

use super::{
    Section,
    train::{check, check_spec},
};
use crate::{
    lid::{Estimator, MatrixFree, Route, Scale},
    ood::statistic::{Ball, Codec},
};
use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An OOD experiment: one run, one in-distribution set, any number of OOD sets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct OodConfig {
    /// Name of the experiment under MODEL_DIR; the file's name where left out, `--name` wins.
    #[serde(default)]
    pub name: Option<String>,
    /// The trained run: a name under MODEL_DIR or a path.
    pub run: String,
    /// Seed of the dequantisation noise and of the bootstrap.
    #[serde(default)]
    pub seed: u64,
    /// SPEC of held-out in-distribution images.
    pub in_distribution: String,
    /// SPECs of OOD images.
    pub out_of_distribution: Vec<String>,
    /// The run of the background model, trained with `data.mutation` on the same images; for the method likelihood_ratio.
    #[serde(default)]
    pub background: Option<String>,
    /// Runs of more models of the same images; for the method waic.
    #[serde(default)]
    pub ensemble: Vec<String>,
    /// SPEC of training images, for the scale of LID and for methods that are fitted.
    pub calibration: String,
    /// How many of them.
    #[serde(default = "calibration_count")]
    pub calibration_count: usize,
    /// Score the first so many images of each set; null for all.
    #[serde(default)]
    pub limit: Option<usize>,
    /// Dequantise with noise from the seed and the image's content; off: the middle of each grey level.
    #[serde(default = "yes")]
    pub dequantize: bool,
    /// What to report.
    #[serde(default = "methods")]
    pub methods: Vec<Method>,
    /// Lossless codecs that measure complexity; the shortest counts.
    #[serde(default = "codecs")]
    pub codecs: Vec<Codec>,
    /// Half-width of the box of the method latent_box.
    #[serde(default = "latent_radius")]
    pub latent_radius: f64,
    /// Draws around an image, for the methods gaussian_convolution, data_ball and latent_ball.
    #[serde(default)]
    pub around: AroundConfig,
    /// Local intrinsic dimension.
    #[serde(default)]
    pub lid: LidConfig,
    /// Intervals.
    #[serde(default)]
    pub bootstrap: BootstrapConfig,
    /// Images in one forward pass.
    #[serde(default = "batch_size")]
    pub batch_size: usize,
}

/// An OOD method; papers and formulas are in `ood::method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Method {
    /// log p(x).
    Likelihood,
    /// LID alone.
    Lid,
    /// Likelihood and LID by two thresholds, oracle and cross-fitted.
    Dual,
    /// Against a background model: needs `background`.
    LikelihoodRatio,
    /// Against the length of a lossless code.
    Complexity,
    /// The density of likelihood and length together, a Gaussian mixture.
    ComplexityMixture,
    /// The norm of the likelihood's gradient in x.
    GradientNorm,
    /// How far the likelihood is from that of training images, either way.
    Typicality,
    /// Mean less variance of the likelihood over models: needs `ensemble`.
    Waic,
    /// The norm of the latent.
    LatentNorm,
    /// The prior's mass around the latent, in a box of half-width `latent_radius`.
    LatentBox,
    /// The linearised density, convolved with a Gaussian as wide as the scale of LID.
    LocalMass,
    /// The density convolved with a Gaussian of standard deviation `around.sigma`, by draws.
    GaussianConvolution,
    /// The mean density on a ball of radius `around.radius` around the image, by draws.
    DataBall,
    /// The mean density on the image of a ball of radius `around.latent_radius` around the latent, by draws.
    LatentBall,
    /// How far the image comes back from the latent.
    Invertibility,
    /// How well the latent's coordinates fit their prior.
    GoodnessOfFit,
    /// Densities of all statistics that the other methods read, as if independent.
    Dose,
    /// How rare the other methods find the image, together.
    Combined,
}

impl Method {
    /// Whether it scores images by themselves, not by what other methods read or score.
    pub fn has_own_score(self) -> bool {
        !matches!(self, Self::Dual | Self::Dose | Self::Combined)
    }

    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Likelihood => "likelihood",
            Self::Lid => "lid",
            Self::Dual => "dual",
            Self::LikelihoodRatio => "likelihood_ratio",
            Self::Complexity => "complexity",
            Self::ComplexityMixture => "complexity_mixture",
            Self::GradientNorm => "gradient_norm",
            Self::Typicality => "typicality",
            Self::Waic => "waic",
            Self::LatentNorm => "latent_norm",
            Self::LatentBox => "latent_box",
            Self::LocalMass => "local_mass",
            Self::GaussianConvolution => "gaussian_convolution",
            Self::DataBall => "data_ball",
            Self::LatentBall => "latent_ball",
            Self::Invertibility => "invertibility",
            Self::GoodnessOfFit => "goodness_of_fit",
            Self::Dose => "dose",
            Self::Combined => "combined",
        }
    }
}

/// Local intrinsic dimension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct LidConfig {
    /// Which estimator.
    pub estimator: Estimator,
    /// How its scale is chosen.
    pub scale: Scale,
    /// MiB that one Jacobian may take beside the model.
    pub memory_mib: usize,
    /// How the estimator `matrix_free` goes about it.
    pub matrix_free: MatrixFree,
}

impl Default for LidConfig {
    fn default() -> Self {
        Self {
            estimator: Estimator::Threshold,
            scale: Scale::default(),
            memory_mib: 512,
            matrix_free: MatrixFree::default(),
        }
    }
}

impl LidConfig {
    /// Check the numbers; `prefix` says where the section stands.
    pub(crate) fn validate(&self, prefix: &str) -> Result<(), (String, String)> {
        let key = |key: &str| format!("{prefix}{key}");
        check(&key("memory_mib"), 0, self.memory_mib > 0, "at least 1")?;
        let MatrixFree { probes, tolerance, max_steps, max_probes, batch } = self.matrix_free;
        check(&key("matrix_free.probes"), probes, probes >= 2, "at least 2")?;
        check(&key("matrix_free.tolerance"), tolerance, tolerance > 0.0, "positive")?;
        check(&key("matrix_free.max_steps"), max_steps, max_steps >= 1, "at least 1")?;
        let enough = max_probes >= probes;
        check(&key("matrix_free.max_probes"), max_probes, enough, "at least `probes`")?;
        check(&key("matrix_free.batch"), batch, batch >= 1, "at least 1")?;
        let range = |low: f64, high: f64| {
            let allowed = format!("below {}, which is {high}", key("scale.high"));
            check(&key("scale.low"), low, low < high, &allowed)
        };
        match self.scale {
            Scale::Fixed { r } => check(&key("scale.r"), r, r.abs() <= 20.0, "in [-20, 20]"),
            Scale::Plateau { tolerance, low, high, steps } => {
                check(&key("scale.tolerance"), tolerance, tolerance > 0.0, "positive")?;
                check(&key("scale.steps"), steps, steps >= 2, "at least 2")?;
                range(low, high)
            }
            Scale::Calibrated { dimension, alpha, low, high } => {
                if let Some(d) = dimension {
                    check(&key("scale.dimension"), d, d > 0.0, "positive, or null")?;
                }
                check(&key("scale.alpha"), alpha, alpha > 0.0 && alpha < 1.0, "in (0, 1)")?;
                range(low, high)
            }
        }
    }
}

/// Draws around an image. In data space a coordinate that leaves [0, 1] is folded back at its end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct AroundConfig {
    /// How many, for each image and method.
    pub samples: usize,
    /// Standard deviation of the Gaussian, in units of x in [0, 1].
    pub sigma: f64,
    /// Radius of the ball around the image, in units of x.
    pub radius: f64,
    /// Radius of the ball around the latent.
    pub latent_radius: f64,
    /// The norm of both balls.
    pub ball: Ball,
}

impl Default for AroundConfig {
    fn default() -> Self {
        Self { samples: 32, sigma: 0.02, radius: 0.5, latent_radius: 5.0, ball: Ball::L2 }
    }
}

/// Bootstrap intervals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct BootstrapConfig {
    /// Number of resamples, at most 100000.
    pub resamples: usize,
    /// Coverage, in (0, 1).
    pub level: f64,
}

impl Default for BootstrapConfig {
    fn default() -> Self {
        Self { resamples: 1000, level: 0.95 }
    }
}

fn calibration_count() -> usize {
    64
}
fn yes() -> bool {
    true
}
fn methods() -> Vec<Method> {
    vec![Method::Likelihood, Method::Lid, Method::Dual]
}
fn batch_size() -> usize {
    128
}
fn latent_radius() -> f64 {
    1.0
}
fn codecs() -> Vec<Codec> {
    Codec::ALL.to_vec()
}

impl Section for OodConfig {
    const DEFAULT_TAGS: &'static [(&'static str, &'static str)] =
        &[("lid.scale.kind", "calibrated")];

    fn validate(&self) -> Result<(), (String, String)> {
        check("run", "empty", !self.run.is_empty(), "the name or path of a run")?;
        check_spec("in_distribution", &self.in_distribution)?;
        check_spec("calibration", &self.calibration)?;
        for (i, spec) in self.out_of_distribution.iter().enumerate() {
            let key = format!("out_of_distribution.{i}");
            check_spec(&key, spec)?;
            let once = !self.out_of_distribution[..i].contains(spec);
            check(&key, spec, once, "named once")?;
        }
        let seen = self.out_of_distribution.contains(&self.calibration);
        let unseen = "other images than `out_of_distribution` has: methods are fitted on them";
        check("calibration", &self.calibration, !seen, unseen)?;
        for (i, run) in self.ensemble.iter().enumerate() {
            let other = *run != self.run
                && self.background.as_ref() != Some(run)
                && !self.ensemble[..i].contains(run);
            let another = "a run besides `run` and `background`, named once";
            check(&format!("ensemble.{i}"), run, other, another)?;
        }
        let sets = self.out_of_distribution.len();
        check("out_of_distribution", "empty", sets > 0, "a list of at least one SPEC")?;
        check("methods", "empty", !self.methods.is_empty(), "a list of methods")?;
        for (i, method) in self.methods.iter().enumerate() {
            let key = format!("methods.{i}");
            let once = !self.methods[..i].contains(method);
            check(&key, method.name(), once, "named once")?;
            let models = match method {
                Method::LikelihoodRatio => self.background.is_some(),
                Method::Waic => !self.ensemble.is_empty(),
                Method::Combined => self.methods.iter().any(|m| m.has_own_score()),
                _ => true,
            };
            let with = match method {
                Method::Combined => "used with other methods, whose scores it reads",
                Method::Waic => "used with `ensemble`, a list of runs beside `run`",
                _ => "used with `background`, a run trained with `data.mutation`",
            };
            check(&key, method.name(), models, with)?;
        }
        check("calibration_count", 0, self.calibration_count > 0, "at least 1")?;
        check("limit", 0, self.limit != Some(0), "at least 1, or null")?;
        check("batch_size", 0, self.batch_size > 0, "at least 1")?;
        let level = self.bootstrap.level;
        let resamples = self.bootstrap.resamples;
        check("bootstrap.resamples", resamples, resamples <= 100_000, "at most 100000")?;
        check("bootstrap.level", level, level > 0.0 && level < 1.0, "in (0, 1)")?;
        check("codecs", "empty", !self.codecs.is_empty(), "a list of png, webp, jpeg_xl")?;
        let radius = self.latent_radius;
        check("latent_radius", radius, radius > 0.0 && radius.is_finite(), "positive")?;
        let AroundConfig { samples, sigma, radius, latent_radius, ball: _ } = self.around;
        check("around.samples", samples, (1..=100_000).contains(&samples), "from 1 to 100000")?;
        for (key, length) in [
            ("around.sigma", sigma),
            ("around.radius", radius),
            ("around.latent_radius", latent_radius),
        ] {
            check(key, length, length > 0.0 && length.is_finite(), "positive")?;
        }
        self.lid.validate("lid.")?;
        let estimator = self.lid.estimator;
        if let Some(i) = self.methods.iter().position(|m| *m == Method::LocalMass) {
            let spectrum = matches!(estimator, Estimator::Threshold | Estimator::Spectral);
            let with = "used with lid.estimator threshold or spectral, which know the whole spectrum at a scale";
            check(&format!("methods.{i}"), Method::LocalMass.name(), spectrum, with)?;
        }
        let reads_model = matches!(estimator.route(), Route::Spectrum | Route::Krylov);
        let allowed = "an estimator that reads the model: threshold, spectral, gap or matrix_free";
        check("lid.estimator", estimator.name(), reads_model, allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Loaded;

    #[test]
    fn names_of_methods_are_those_of_the_configuration() {
        for method in Method::value_variants() {
            assert_eq!(serde_json::to_value(method).unwrap(), method.name());
            assert_eq!(method.to_possible_value().unwrap().get_name(), method.name());
        }
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let text = include_str!("../../configs/ood/demo.yaml");
        for (key, set) in [
            ("lid.scale.r", "lid.scale={kind: fixed, r: 21}"),
            ("lid.scale.steps", "lid.scale={kind: plateau, steps: 1}"),
            ("lid.scale.tolerance", "lid.scale={kind: plateau, tolerance: 0}"),
            ("lid.scale.dimension", "lid.scale.dimension=0"),
            ("lid.scale.alpha", "lid.scale.alpha=-1"),
            ("lid.scale.low", "lid.scale.low=30"),
            ("lid.estimator", "lid.estimator=mle"),
            ("lid.matrix_free.probes", "lid.matrix_free.probes=1"),
            ("lid.matrix_free.tolerance", "lid.matrix_free.tolerance=0"),
            ("lid.matrix_free.max_probes", "lid.matrix_free.max_probes=1"),
            ("bootstrap.level", "bootstrap.level=95"),
            ("out_of_distribution.0", "out_of_distribution=[mnits:test]"),
            ("out_of_distribution.1", "out_of_distribution=[mnist:test, mnist:test]"),
            ("calibration", "calibration=demo:ood"),
            ("ensemble.0", "ensemble=[demo]"),
            ("methods.1", "methods=[lid, lid]"),
            ("methods.0", "methods=[combined, dual]"),
            ("latent_radius", "latent_radius=0"),
            ("around.samples", "around.samples=0"),
            ("around.sigma", "around={sigma: -0.1}"),
        ] {
            let error = Loaded::<OodConfig>::text(text, &[set.to_owned()]).unwrap_err();
            let message = error.to_string();
            assert!(message.starts_with(&format!("--set {set}: `{key}` is ")), "{message}");
        }
    }
}
