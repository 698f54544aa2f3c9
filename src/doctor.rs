//! Whether a trained model can be trusted: what is not finite; of a flow also what its inverse misses, and whether its log-determinant is that of its Jacobian.

use crate::{
    jacobian::{self, JacobianError, Linearized, Memory},
    lid::{Spectrum, SpectrumError},
    ood::largest,
    progress::Progress,
};
use atypical_forward::{Forward, ForwardError, jvp, on_forward};
use atypical_models::{
    Ability, DensityModel, FlowBackend, LatentModel, Model,
    flow::{Bijection, Flow, Layer, Squeeze},
};
use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Distribution, Tensor, backend::Backend},
};
use faer::Mat;
use serde::Serialize;
use thiserror::Error;

/// Largest dimension of a step whose dense Jacobian is taken: its singular values cost D³.
pub const DENSE: usize = 1024;
/// Half a grey level, in parts of what values range over: an inverse that misses by more gives another image back.
const HALF_LEVEL: f64 = 0.5 / 256.0;
/// Bits per dimension by which a log-determinant may be wrong: what training decides is in the second digit.
const LOG_DET: f64 = 0.01;
/// Directions whose products are taken together.
const DIRECTIONS: usize = 128;

/// What an examination found.
#[derive(Clone, Debug, Serialize)]
pub struct Health {
    /// Weights of the model.
    pub weights: usize,
    /// Weights that are NaN or infinite.
    pub weights_not_finite: usize,
    /// Images that were looked at.
    pub images: usize,
    /// Values of latents, log-densities and images decoded that are NaN or infinite.
    pub values_not_finite: usize,
    /// What a flow promises besides.
    #[serde(flatten)]
    pub flow: Option<FlowHealth>,
}

/// What is to be known of a flow alone.
#[derive(Clone, Debug, Serialize)]
pub struct FlowHealth {
    /// Largest `|x - f⁻¹(f(x))|` over the images, in parts of the range of each dimension's values.
    pub round_trip: f64,
    /// Largest `|z - f(f⁻¹(z))|` over as many draws of z from the prior.
    pub round_trip_of_samples: f64,
    /// Largest difference between the log-determinant and that of the dense Jacobian of the decoder, in bits per dimension.
    pub log_det_error: f64,
    /// Largest condition number of the decoder's Jacobian, `σ_max / σ_min`.
    pub condition: f64,
    /// Most eigenvalues of JᵀJ of one image that lie below what f32 resolves.
    pub unresolved_eigenvalues: usize,
    /// The steps, from data to latent.
    pub steps: Vec<StepHealth>,
}

/// What one step does at the first image.
#[derive(Clone, Debug, Serialize)]
pub struct StepHealth {
    /// Number of its level, from 1.
    pub level: usize,
    /// What it is.
    pub kind: &'static str,
    /// Shape of its input.
    pub shape: [usize; 3],
    /// Largest `|h - s⁻¹(s(h))|` over all images, in parts of the largest `|h|`.
    pub round_trip: f64,
    /// Largest difference between its log-determinant and the negative one of its inverse, over all images, in nats.
    pub log_det_both_ways: f64,
    /// Difference between its log-determinant and that of its dense Jacobian at the first image, in nats; none above [`DENSE`] dimensions.
    pub log_det_error: Option<f64>,
    /// Condition number of its Jacobian at the first image; none above [`DENSE`] dimensions.
    pub condition: Option<f64>,
    /// Values of its output and its log-determinant that are NaN or infinite.
    pub not_finite: usize,
}

/// A model that cannot be examined.
#[derive(Debug, Error)]
pub enum DoctorError {
    /// No dense Jacobian.
    #[error(transparent)]
    Jacobian(#[from] JacobianError),
    /// A step that forward mode does not differentiate.
    #[error(transparent)]
    Forward(#[from] ForwardError),
}

impl Health {
    /// What is wrong, one sentence a finding; nothing where the model is healthy.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        if self.weights_not_finite > 0 {
            let Self { weights, weights_not_finite: bad, .. } = self;
            complaints.push(format!("{bad} of {weights} weights are NaN or infinite"));
        }
        if self.values_not_finite > 0 {
            let bad = self.values_not_finite;
            complaints.push(format!(
                "{bad} values of latents, log-densities and decoded images are NaN or infinite"
            ));
        }
        let Some(flow) = &self.flow else { return complaints };
        // A NaN is not below a bound either.
        let beyond = |value: f64, bound: f64| value.is_nan() || value >= bound;
        if beyond(flow.round_trip, HALF_LEVEL) {
            complaints.push(format!(
                "a sample comes back with an error of {:.1e} of the range of its values, {HALF_LEVEL:.1e} are allowed, of pixels half a grey level",
                flow.round_trip
            ));
        }
        if flow.round_trip_of_samples.is_nan() {
            complaints.push("a sample that the flow drew comes back as NaN".to_owned());
        }
        if beyond(flow.log_det_error, LOG_DET) {
            complaints.push(format!(
                "the log-determinant is {:.1e} bits per dimension from that of the dense Jacobian, {LOG_DET} are allowed",
                flow.log_det_error
            ));
        }
        complaints
    }
}

/// Examine a model at images; `bar` counts its [`work`]. `ends` are the least and the greatest value of each dimension in their set: a miss of 0.1 is little where
/// they lie thousands apart.
///
/// # Shapes
/// - x: `[images, D]`
/// - ends: `[D]`
///
/// # Errors
/// Too little memory for a Jacobian. What is not finite is counted, not an error.
pub fn examine<B: FlowBackend>(
    model: &Model<B>,
    x: Tensor<B, 2>,
    ends: &[[f32; 2]],
    memory: Memory,
    bar: &mut Progress,
) -> Result<Health, DoctorError> {
    let mut weights = Weights::default();
    model.visit(&mut weights);
    let mut values_not_finite = 0;
    if model.lacks(Ability::Density).is_none() {
        values_not_finite += not_finite(&host(model.log_prob(x.clone())));
    }
    if model.lacks(Ability::Latents).is_none() {
        let z = model.encode(x.clone());
        values_not_finite += not_finite(&host(z.clone())) + not_finite(&host(model.decode(z)));
    }
    let images = x.dims()[0];
    let flow = model.as_flow().map(|flow| examine_flow(flow, x, ends, memory, bar)).transpose()?;
    Ok(Health {
        weights: weights.count,
        weights_not_finite: weights.not_finite,
        images,
        values_not_finite,
        flow,
    })
}

/// What a flow promises, at images.
fn examine_flow<B: FlowBackend>(
    flow: &Flow<B>,
    x: Tensor<B, 2>,
    ends: &[[f32; 2]],
    memory: Memory,
    bar: &mut Progress,
) -> Result<FlowHealth, DoctorError> {
    let device = x.device();
    let [images, dimension] = x.dims();
    let (z, _) = flow.encode(x.clone());
    let (back, log_det) = flow.decode(z.clone());
    let drawn = Tensor::random([images, dimension], Distribution::Normal(0.0, 1.0), &device);
    let again = flow.encode(flow.decode(drawn.clone()).0).0;
    let steps = walk(flow, x.clone(), bar)?;

    let (mut log_det_error, mut condition, mut unresolved) = (0.0, 0.0, 0);
    for (i, log_det) in host(log_det).into_iter().enumerate() {
        match dense(flow, z.clone().narrow(0, i, 1), memory)? {
            Some(spectrum) => {
                let eigenvalues = spectrum.eigenvalues();
                let dense: f64 = 0.5 * eigenvalues.iter().map(|l| l.ln()).sum::<f64>();
                let bits = (dense - log_det).abs() / dimension as f64 / std::f64::consts::LN_2;
                log_det_error = largest(log_det_error, bits);
                let ends = eigenvalues[0] / eigenvalues[dimension - 1];
                condition = largest(condition, ends.sqrt());
                let floor = (2.0 * spectrum.resolution()).exp();
                unresolved = unresolved.max(eigenvalues.iter().filter(|l| **l < floor).count());
            }
            None => (log_det_error, condition) = (f64::NAN, f64::NAN),
        }
        bar.advance(1, "");
    }
    Ok(FlowHealth {
        round_trip: apart_in_ranges(&host(back), &host(x), ends),
        round_trip_of_samples: apart(&host(again), &host(drawn)),
        log_det_error,
        condition,
        unresolved_eigenvalues: unresolved,
        steps,
    })
}

/// What there is to do at so many images, for a bar: the steps of a flow, and a Jacobian at each image.
pub fn work<B: Backend>(model: &Model<B>, images: usize) -> usize {
    model
        .as_flow()
        .map_or(0, |flow| flow.levels.iter().map(|level| level.steps.len()).sum::<usize>() + images)
}

/// The spectrum of the decoder at one latent; none where it is not finite.
fn dense<B: FlowBackend>(
    flow: &Flow<B>,
    z: Tensor<B, 2>,
    memory: Memory,
) -> Result<Option<Spectrum>, DoctorError> {
    let at = Linearized::new(flow, z.clone());
    let jacobian = match jacobian::decoder(&at, memory) {
        Ok(jacobian) => jacobian,
        Err(JacobianError::NotFinite { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let z: Vec<f32> = z.into_data().iter::<f32>().collect();
    match Spectrum::new(&jacobian, &z) {
        Ok(spectrum) => Ok(Some(spectrum)),
        Err(SpectrumError::NotFinite(_) | SpectrumError::NoConvergence(_)) => Ok(None),
        Err(SpectrumError::Shape { .. }) => unreachable!("the Jacobian is that at this latent"),
    }
}

/// Every step on its own, at what the steps before made of the images.
fn walk<B: FlowBackend>(
    flow: &Flow<B>,
    x: Tensor<B, 2>,
    bar: &mut Progress,
) -> Result<Vec<StepHealth>, DoctorError> {
    let twin: Flow<Forward<B>> = on_forward(flow.clone());
    let [images, _] = x.dims();
    let [c, h, w] = flow.shape();
    let mut x = x.reshape([images, c, h, w]);
    let mut found = Vec::new();
    for (l, (level, twins)) in flow.levels.iter().zip(&twin.levels).enumerate() {
        for (step, twin) in level.steps.iter().zip(&twins.steps) {
            let [_, c, h, w] = x.dims();
            let (y, log_det) = step.forward(x.clone());
            let (back, back_log_det) = step.inverse(y.clone());
            let both = host(log_det.clone() + back_log_det);
            let log_dets = host(log_det);
            let scale = host(x.clone()).into_iter().map(f64::abs).fold(0.0, largest);
            let (log_det_error, condition) = match c * h * w <= DENSE {
                true => {
                    let (log_det, condition) = singular(twin, x.clone().narrow(0, 0, 1))?;
                    (Some((log_det - log_dets[0]).abs()), Some(condition))
                }
                false => (None, None),
            };
            found.push(StepHealth {
                level: l + 1,
                kind: kind(step),
                shape: [c, h, w],
                round_trip: apart(&host(back), &host(x)) / scale,
                log_det_both_ways: both.into_iter().map(f64::abs).fold(0.0, largest),
                log_det_error,
                condition,
                not_finite: not_finite(&host(y.clone())) + not_finite(&log_dets),
            });
            x = y;
            bar.advance(1, "");
        }
        if l + 1 < flow.levels.len() {
            // The larger half leaves at the split, the other goes on.
            let [_, channels, _, _] = x.dims();
            x = x.narrow(1, channels.div_ceil(2), channels / 2);
        }
    }
    Ok(found)
}

/// Log-determinant and condition number of the dense Jacobian of a step at one input; NaN where it is not finite.
fn singular<B: FlowBackend>(
    step: &Layer<Forward<B>>,
    x: Tensor<B, 4>,
) -> Result<(f64, f64), DoctorError> {
    let shape = x.dims();
    let n = shape.iter().product();
    let x = x.reshape([1, n]);
    let mut jacobian = Mat::<f64>::zeros(n, n);
    for from in (0..n).step_by(DIRECTIONS) {
        let count = DIRECTIONS.min(n - from);
        let directions = Tensor::<B, 2>::eye(n, &x.device()).narrow(0, from, count);
        let (_, products): (_, Tensor<B, 3>) = jvp(
            |x: Tensor<Forward<B>, 2>| step.forward(x.reshape(shape)).0.reshape([1, n]),
            x.clone(),
            directions.reshape([count, 1, n]),
        )?;
        let products = host(products);
        if not_finite(&products) > 0 {
            return Ok((f64::NAN, f64::NAN));
        }
        for (i, value) in products.into_iter().enumerate() {
            jacobian[(i % n, from + i / n)] = value;
        }
    }
    Ok(match jacobian.singular_values() {
        Ok(values) => {
            let log_det = values.iter().map(|s| s.ln()).sum();
            (log_det, values[0] / values[n - 1])
        }
        Err(_) => (f64::NAN, f64::NAN),
    })
}

fn kind<B: Backend>(step: &Layer<B>) -> &'static str {
    match step {
        Layer::Logit(_) => "logit",
        Layer::Scale(_) => "scale",
        Layer::Whiten(_) => "whiten",
        Layer::Squeeze(Squeeze { block: [2, 2] }) => "squeeze",
        Layer::Squeeze(_) => "flatten",
        Layer::ActNorm(_) => "act_norm",
        Layer::Conv1x1(_) => "conv1x1",
        Layer::Coupling(_) => "coupling",
    }
}

fn host<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn not_finite(values: &[f64]) -> usize {
    values.iter().filter(|v| !v.is_finite()).count()
}

/// Largest difference; NaN where one is.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, largest)
}

/// Largest difference of two tables, in parts of the range of its column; of values that are all alike, as it is.
fn apart_in_ranges(a: &[f64], b: &[f64], ends: &[[f32; 2]]) -> f64 {
    let range = |&[low, high]: &[f32; 2]| match f64::from(high) - f64::from(low) {
        range if range > 0.0 => range,
        _ => 1.0,
    };
    let ranges = ends.iter().map(range).cycle();
    a.iter().zip(b).zip(ranges).map(|((a, b), range)| (a - b).abs() / range).fold(0.0, largest)
}

#[derive(Default)]
struct Weights {
    count: usize,
    not_finite: usize,
}

impl<B: Backend> ModuleVisitor<B> for Weights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let values = host(param.val());
        self.count += values.len();
        self.not_finite += not_finite(&values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_miss_is_told_in_parts_of_its_column() {
        let (back, x) = ([1.0, 0.5, 9.0, 2.0], [1.0, 0.5, 1.0, 2.001]);
        assert_eq!(apart_in_ranges(&back, &x, &[[1e4, 1.7e4], [0.0, 5.0]]), 8.0 / 7e3);
        // Nothing is a part of nothing.
        assert_eq!(apart_in_ranges(&back, &x, &[[1e5, 1e5], [0.0, 5.0]]), 8.0);
        assert!(apart_in_ranges(&[f64::NAN], &[1.0], &[[0.0, 1.0]]).is_nan());
    }
}
