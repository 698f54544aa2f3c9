//! What `ood` reads.

use super::{
    Section, TrackConfig,
    train::{check, check_spec},
};
use crate::{
    lid::{Estimator, MatrixFree, Route, Scale},
    ood::{
        method,
        statistic::{Ball, Codec},
    },
};
use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{SeqAccess, Visitor},
};
use std::fmt::Formatter;

/// An OOD experiment: one run or several, each with in-distribution sets, against OOD sets.
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
    /// SPEC of held-out in-distribution images, or a list of several.
    #[serde(deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany")]
    pub in_distribution: Vec<String>,
    /// SPECs of OOD images. What is in-distribution for a run is left out for that run.
    pub out_of_distribution: Vec<String>,
    /// Further runs, judged in the same way.
    #[serde(default)]
    pub more_runs: Vec<FurtherRun>,
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
    /// Dequantise with noise from the seed and the image's content; off: the middle of each grey level; null: as each model was trained.
    #[serde(default)]
    pub dequantize: Option<bool>,
    /// Samples of the importance-weighted bound on a VAE's log-density; null: as it was trained.
    #[serde(default)]
    pub importance_samples: Option<usize>,
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
    /// Chains around an image, for the method shells.
    #[serde(default)]
    pub shells: ShellsConfig,
    /// The ascent from an image, for the method local_optimum.
    #[serde(default)]
    pub optimum: OptimumConfig,
    /// The fit of the posterior, for the method likelihood_regret.
    #[serde(default)]
    pub regret: RegretConfig,
    /// The curvature of the density, for the methods laplace and hessian_spectrum.
    #[serde(default)]
    pub hessian: HessianConfig,
    /// Images that the method batch_typicality judges together.
    #[serde(default = "batch")]
    pub batch: usize,
    /// Local intrinsic dimension.
    #[serde(default)]
    pub lid: LidConfig,
    /// Intervals.
    #[serde(default)]
    pub bootstrap: BootstrapConfig,
    /// Images in one forward pass.
    #[serde(default = "batch_size")]
    pub batch_size: usize,
    /// Where the experiment is shown besides its folder.
    #[serde(default)]
    pub track: TrackConfig,
}

/// A further run. Sets, training images, methods and LID that are left out are as for the first one; background and ensemble are its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct FurtherRun {
    /// The trained run: a name under MODEL_DIR or a path.
    pub run: String,
    /// SPEC of held-out in-distribution images, or a list.
    #[serde(default, deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany")]
    pub in_distribution: Vec<String>,
    /// SPECs of OOD images.
    #[serde(default)]
    pub out_of_distribution: Vec<String>,
    /// SPEC of training images.
    #[serde(default)]
    pub calibration: Option<String>,
    /// The run of its background model.
    #[serde(default)]
    pub background: Option<String>,
    /// Runs of more models of the same images.
    #[serde(default)]
    pub ensemble: Vec<String>,
    /// What to report of it: what is defined for its model.
    #[serde(default)]
    pub methods: Vec<Method>,
    /// Its local intrinsic dimension.
    #[serde(default)]
    pub lid: Option<LidConfig>,
}

/// What [`one_or_many`] reads.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// A text, or a list of texts.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Texts;
    impl<'de> Visitor<'de> for Texts {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut Formatter) -> std::fmt::Result {
            f.write_str("a SPEC or a list of SPECs")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(vec![text.to_owned()])
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::new();
            while let Some(text) = list.next_element()? {
                all.push(text);
            }
            Ok(all)
        }
    }
    deserializer.deserialize_any(Texts)
}

impl OodConfig {
    /// An experiment without sets, by some methods and the defaults: for scoring images in a program of one's own.
    pub fn by_methods(methods: Vec<Method>) -> Self {
        let text = serde_json::json!({
            "run": "", "in_distribution": [], "out_of_distribution": [], "calibration": "",
            "methods": methods,
        });
        serde_json::from_value(text).expect("all else has a default")
    }

    /// The experiment of each run alone, the first one's first.
    pub fn each_run(&self) -> Vec<Self> {
        let further = |run: &FurtherRun| {
            let mut own = Self { run: run.run.clone(), ..self.clone() };
            if !run.in_distribution.is_empty() {
                own.in_distribution.clone_from(&run.in_distribution);
            }
            if !run.out_of_distribution.is_empty() {
                own.out_of_distribution.clone_from(&run.out_of_distribution);
            }
            if let Some(calibration) = &run.calibration {
                own.calibration.clone_from(calibration);
            }
            own.background.clone_from(&run.background);
            own.ensemble.clone_from(&run.ensemble);
            if !run.methods.is_empty() {
                own.methods.clone_from(&run.methods);
            }
            if let Some(lid) = &run.lid {
                own.lid.clone_from(lid);
            }
            own
        };
        let mut all: Vec<Self> =
            std::iter::once(self.clone()).chain(self.more_runs.iter().map(further)).collect();
        for own in &mut all {
            own.more_runs.clear();
            let inside = own.in_distribution.clone();
            own.out_of_distribution.retain(|spec| !inside.contains(spec));
        }
        all
    }
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
    /// Likelihood and LID by two thresholds that training images set.
    DualCalibrated,
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
    /// The same of `batch` images of one set together.
    BatchTypicality,
    /// Mean less variance of the likelihood over models: needs `ensemble`.
    Waic,
    /// The density of the latent under a two-step model's second step.
    LatentLikelihood,
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
    /// The dimension in which probability grows around the image, by chains in shrinking balls.
    Shells,
    /// How far below its nearest local optimum the likelihood is.
    LocalOptimum,
    /// log p(x), less what its curvature takes off the mass around x.
    Laplace,
    /// The number of directions in which log p(x) is flat.
    HessianSpectrum,
    /// How far the image comes back from the latent.
    Invertibility,
    /// How well the latent's coordinates fit their prior.
    GoodnessOfFit,
    /// The error with which an autoencoder makes the image again.
    Reconstruction,
    /// How much the bound of a VAE gains where the posterior is fitted to the image.
    LikelihoodRegret,
    /// Densities of all statistics that the other methods read, as if independent.
    Dose,
    /// How rare the other methods find the image, together.
    Combined,
}

impl Method {
    /// Whether it scores images by themselves, not by what other methods read or score.
    pub fn has_own_score(self) -> bool {
        !matches!(self, Self::Dual | Self::BatchTypicality | Self::Dose | Self::Combined)
    }

    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Likelihood => "likelihood",
            Self::Lid => "lid",
            Self::Dual => "dual",
            Self::DualCalibrated => "dual_calibrated",
            Self::LikelihoodRatio => "likelihood_ratio",
            Self::Complexity => "complexity",
            Self::ComplexityMixture => "complexity_mixture",
            Self::GradientNorm => "gradient_norm",
            Self::Typicality => "typicality",
            Self::BatchTypicality => "batch_typicality",
            Self::Waic => "waic",
            Self::LatentLikelihood => "latent_likelihood",
            Self::LatentNorm => "latent_norm",
            Self::LatentBox => "latent_box",
            Self::LocalMass => "local_mass",
            Self::GaussianConvolution => "gaussian_convolution",
            Self::DataBall => "data_ball",
            Self::LatentBall => "latent_ball",
            Self::Shells => "shells",
            Self::LocalOptimum => "local_optimum",
            Self::Laplace => "laplace",
            Self::HessianSpectrum => "hessian_spectrum",
            Self::Invertibility => "invertibility",
            Self::GoodnessOfFit => "goodness_of_fit",
            Self::Reconstruction => "reconstruction",
            Self::LikelihoodRegret => "likelihood_regret",
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

/// Metropolis chains in shrinking balls around an image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct ShellsConfig {
    /// Radius of the outermost ball, in units of x in [0, 1].
    pub radius: f64,
    /// How often the ball is shrunk to half its probability.
    pub levels: usize,
    /// Chains, an even number.
    pub chains: usize,
    /// Steps of every chain at a level.
    pub steps: usize,
}

impl Default for ShellsConfig {
    fn default() -> Self {
        Self { radius: 0.5, levels: 6, chains: 32, steps: 10 }
    }
}

/// The ascent of the likelihood from an image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct OptimumConfig {
    /// Iterations of L-BFGS at most.
    pub steps: usize,
}

impl Default for OptimumConfig {
    fn default() -> Self {
        Self { steps: 30 }
    }
}

/// The fit of a VAE's posterior to one image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct RegretConfig {
    /// Steps of Adam.
    pub steps: usize,
    /// Their size.
    pub lr: f64,
    /// Draws over which the bound is averaged, the same throughout.
    pub draws: usize,
}

impl Default for RegretConfig {
    fn default() -> Self {
        Self { steps: 100, lr: 0.05, draws: 8 }
    }
}

/// The spectrum of the density's Hessian.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct HessianConfig {
    /// The scale σ at which curvature is read, in units of x: a direction counts as flat where log p falls by much less than 1/2 within σ.
    pub sigma: f64,
    /// Random probes of the trace.
    pub probes: usize,
    /// Steps of Lanczos, each one Hessian-vector product a probe.
    pub steps: usize,
}

impl Default for HessianConfig {
    fn default() -> Self {
        Self { sigma: 0.02, probes: 4, steps: 8 }
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
fn methods() -> Vec<Method> {
    vec![Method::Likelihood, Method::Lid, Method::Dual]
}
fn batch_size() -> usize {
    128
}
fn batch() -> usize {
    10
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
        self.track.check()?;
        let sets = self.out_of_distribution.len();
        check("out_of_distribution", "empty", sets > 0, "a list of at least one SPEC")?;
        for (i, run) in self.more_runs.iter().enumerate() {
            let named = run.in_distribution.is_empty() || run.calibration.is_some();
            let with = "given with `calibration`, training images of that run";
            check(&format!("more_runs.{i}.in_distribution"), "there", named, with)?;
        }
        let further = self.more_runs.iter().enumerate();
        let lists = further.map(|(i, run)| (format!("more_runs.{i}."), &run.out_of_distribution));
        for (prefix, list) in
            std::iter::once((String::new(), &self.out_of_distribution)).chain(lists)
        {
            for (i, spec) in list.iter().enumerate() {
                let key = format!("{prefix}out_of_distribution.{i}");
                check_spec(&key, spec)?;
                check(&key, spec, !list[..i].contains(spec), "named once")?;
            }
        }
        let runs = self.each_run();
        for (number, own) in runs.iter().enumerate() {
            let key = |key: &str| match number.checked_sub(1) {
                Some(i) => format!("more_runs.{i}.{key}"),
                None => key.to_owned(),
            };
            own.validate_run(&key)?;
            let further = number.checked_sub(1).map(|i| &self.more_runs[i]);
            let own_methods = further.is_none_or(|run| !run.methods.is_empty());
            let own_lid = further.is_none_or(|run| run.lid.is_some());
            let [methods, lid] = [("methods", own_methods), ("lid", own_lid)]
                .map(|(name, its)| if its { key(name) } else { name.to_owned() });
            own.validate_methods(&key, &methods)?;
            own.validate_lid(&lid, &methods)?;
            let what = |run: &Self| {
                let Self { run, in_distribution, methods, lid, .. } = run.clone();
                (run, in_distribution, methods, lid)
            };
            let twice = runs[..number].iter().any(|other| what(other) == what(own));
            let allowed = "another than those before it: another run, or the same with other sets, methods or LID";
            check(&key("run"), &own.run, !twice, allowed)?;
        }
        let count = self.calibration_count;
        check("calibration_count", count, count > 0, "at least 1")?;
        check("limit", 0, self.limit != Some(0), "at least 1, or null")?;
        let samples = self.importance_samples;
        check("importance_samples", 0, samples != Some(0), "at least 1, or null")?;
        check("batch_size", 0, self.batch_size > 0, "at least 1")?;
        let level = self.bootstrap.level;
        let resamples = self.bootstrap.resamples;
        check("bootstrap.resamples", resamples, resamples <= 100_000, "at most 100000")?;
        check("bootstrap.level", level, level > 0.0 && level < 1.0, "in (0, 1)")?;
        check("codecs", "empty", !self.codecs.is_empty(), "some of png, webp, jpeg_xl, jpeg2000")?;
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
        let ShellsConfig { radius, levels, chains, steps } = self.shells;
        let positive = radius > 0.0 && radius.is_finite();
        check("shells.radius", radius, positive, "positive")?;
        let pairs = (2..=10_000).contains(&chains) && chains % 2 == 0;
        check("shells.chains", chains, pairs, "an even number from 2 to 10000")?;
        let rate = self.regret.lr;
        check("regret.lr", rate, rate > 0.0 && rate.is_finite(), "positive")?;
        let HessianConfig { sigma, probes, steps: lanczos } = self.hessian;
        check("hessian.sigma", sigma, sigma > 0.0 && sigma.is_finite(), "positive")?;
        for (key, number) in [
            ("shells.levels", levels),
            ("shells.steps", steps),
            ("optimum.steps", self.optimum.steps),
            ("regret.steps", self.regret.steps),
            ("regret.draws", self.regret.draws),
            ("hessian.probes", probes),
            ("hessian.steps", lanczos),
            ("batch", self.batch),
        ] {
            check(key, number, (1..=10_000).contains(&number), "from 1 to 10000")?;
        }
        Ok(())
    }
}

impl OodConfig {
    /// What is a run's own; `key` says where a key of it stands.
    fn validate_run(&self, key: &impl Fn(&str) -> String) -> Result<(), (String, String)> {
        check(&key("run"), "empty", !self.run.is_empty(), "the name or path of a run")?;
        let inside = &self.in_distribution;
        check(&key("in_distribution"), "empty", !inside.is_empty(), "a SPEC or a list of SPECs")?;
        for (i, spec) in inside.iter().enumerate() {
            let key = if inside.len() == 1 {
                key("in_distribution")
            } else {
                key(&format!("in_distribution.{i}"))
            };
            check_spec(&key, spec)?;
            check(&key, spec, !inside[..i].contains(spec), "named once")?;
        }
        let sets = self.out_of_distribution.len();
        let more = "fewer than all of `out_of_distribution`: one set at least must be another";
        check(&key("in_distribution"), inside.join(", "), sets > 0, more)?;
        check_spec(&key("calibration"), &self.calibration)?;
        let seen = self.out_of_distribution.contains(&self.calibration);
        let unseen = "other images than `out_of_distribution` has: methods are fitted on them";
        check(&key("calibration"), &self.calibration, !seen, unseen)?;
        for (i, run) in self.ensemble.iter().enumerate() {
            let other = *run != self.run
                && self.background.as_ref() != Some(run)
                && !self.ensemble[..i].contains(run);
            let another = "a run besides `run` and `background`, named once";
            check(&key(&format!("ensemble.{i}")), run, other, another)?;
        }
        Ok(())
    }

    /// A run's methods, which stand at `methods`; `key` says where what they need stands.
    fn validate_methods(
        &self,
        key: &impl Fn(&str) -> String,
        methods: &str,
    ) -> Result<(), (String, String)> {
        check(methods, "empty", !self.methods.is_empty(), "a list of methods")?;
        for (i, method) in self.methods.iter().enumerate() {
            let place = format!("{methods}.{i}");
            let once = !self.methods[..i].contains(method);
            check(&place, method.name(), once, "named once")?;
            let others =
                *method != Method::Combined || self.methods.iter().any(|m| m.has_own_score());
            check(&place, method.name(), others, "used with other methods, whose scores it reads")?;
            let (needed, given, with) = match method {
                Method::LikelihoodRatio => {
                    ("background", self.background.is_some(), "a run trained with `data.mutation`")
                }
                Method::Waic => ("ensemble", !self.ensemble.is_empty(), "a list of other runs"),
                _ => continue,
            };
            let with = format!("used with `{}`, {with}", key(needed));
            check(&place, method.name(), given, &with)?;
        }
        if let Some((method, least)) = method::neediest(&self.methods) {
            let count = self.calibration_count;
            let allowed = format!("at least {least}, for the method {}", method.name());
            check("calibration_count", count, count >= least, &allowed)?;
        }
        Ok(())
    }

    /// A run's local intrinsic dimension, which stands at `lid`, and the method that asks something of it, one of those at `methods`.
    fn validate_lid(&self, lid: &str, methods: &str) -> Result<(), (String, String)> {
        self.lid.validate(&format!("{lid}."))?;
        let estimator = self.lid.estimator;
        if let Some(i) = self.methods.iter().position(|m| *m == Method::LocalMass) {
            let spectrum = matches!(estimator, Estimator::Threshold | Estimator::Spectral);
            let with = format!(
                "used with {lid}.estimator threshold or spectral, which know the whole spectrum at a scale"
            );
            check(&format!("{methods}.{i}"), Method::LocalMass.name(), spectrum, &with)?;
        }
        let reads_model = matches!(estimator.route(), Route::Spectrum | Route::Krylov);
        let allowed = "an estimator that reads the model: threshold, spectral, gap or matrix_free";
        check(&format!("{lid}.estimator"), estimator.name(), reads_model, allowed)
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
    fn methods_need_training_images() {
        let text = include_str!("../../configs/ood/demo.yaml");
        let load = |method: &str, count: usize| {
            let sets = [format!("methods=[lid, {method}]"), format!("calibration_count={count}")];
            Loaded::<OodConfig>::text(text, &sets).map_err(|error| error.to_string())
        };
        for (method, least) in [("typicality", 1), ("dose", 2), ("dual_calibrated", 20)] {
            assert!(load(method, least).is_ok(), "{method}");
            let message = load(method, least - 1).unwrap_err();
            let said =
                format!("`calibration_count` is {}, but it must be at least {least}", least - 1);
            assert!(message.contains(&said), "{message}");
        }
        assert!(load("dose", 1).unwrap_err().contains("for the method dose"));
        assert!(load("complexity", 1).is_ok(), "nothing is fitted");
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
            ("out_of_distribution", "out_of_distribution=[]"),
            ("more_runs.0.in_distribution", "more_runs=[{run: r, in_distribution: a.npz}]"),
            ("more_runs.0.methods.1", "more_runs=[{run: r, methods: [lid, lid]}]"),
            ("more_runs.0.methods.0", "more_runs=[{run: r, methods: [waic]}]"),
            (
                "more_runs.0.lid.scale.dimension",
                "more_runs=[{run: r, lid: {scale: {kind: calibrated, dimension: 0}}}]",
            ),
            ("ensemble.0", "ensemble=[demo]"),
            ("methods.1", "methods=[lid, lid]"),
            ("methods.0", "methods=[combined, dual]"),
            ("latent_radius", "latent_radius=0"),
            ("around.samples", "around.samples=0"),
            ("around.sigma", "around={sigma: -0.1}"),
            ("shells.chains", "shells.chains=7"),
            ("shells.levels", "shells.levels=0"),
            ("optimum.steps", "optimum={steps: 0}"),
            ("regret.steps", "regret={steps: 0}"),
            ("regret.draws", "regret={draws: 0}"),
            ("regret.lr", "regret={lr: 0}"),
            ("hessian.sigma", "hessian.sigma=0"),
            ("batch", "batch=0"),
        ] {
            let error = Loaded::<OodConfig>::text(text, &[set.to_owned()]).unwrap_err();
            let message = error.to_string();
            assert!(message.starts_with(&format!("--set {set}: `{key}` is ")), "{message}");
        }
    }
}
