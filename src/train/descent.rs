//! A model on its way down the gradient.

use super::{
    FusedAdamW, TrainError, Trainee,
    adam_w::GradientScale,
    metric::{BatchLoss, Told},
    trainee::{gradient_norm, largest_weight, number},
    weights,
};
use crate::config::Optimizer;
use atypical_models::{FlowBackend, Learn, Learned, Model};
use burn::{
    optim::{GradientsParams, Optimizer as _, adaptor::OptimizerAdaptor},
    record::{BinBytesRecorder, FullPrecisionSettings, Recorder},
    tensor::{Tensor, backend::AutodiffBackend},
};
use std::path::Path;

/// Why there is always a trainee.
const THERE: &str = "only the optimizer takes it, and gives it back";

type AdamW<B> = OptimizerAdaptor<FusedAdamW, Trainee<B>, B>;

/// A model with its optimizer: training, one step after the other.
///
/// It is the weights' only owner, so that every step changes them where they lie.
pub struct Descent<B: AutodiffBackend>
where
    B: FlowBackend,
    B::InnerBackend: FlowBackend,
{
    /// Always there but while the optimizer has it.
    trainee: Option<Trainee<B>>,
    optimizer: AdamW<B>,
    /// Of the optimizer.
    scale: GradientScale,
    largest_norm: f64,
}

/// What a step saw before it changed the weights.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The batch's loss; that of the last turn, where the step has several.
    pub loss: BatchLoss,
    /// The gradient's joint L2 norm, before it was clipped; 0 where a model moves by a rule of its own.
    pub norm: f64,
}

impl Seen {
    fn is_finite(self) -> bool {
        self.loss.loss.is_finite() && self.norm.is_finite()
    }
}

impl<B> Descent<B>
where
    B: AutodiffBackend + FlowBackend,
    B::InnerBackend: FlowBackend,
{
    /// At the start; gradients are scaled to a norm of at most `clip_norm`, if there is one.
    pub fn new(model: Model<B>, optimizer: &Optimizer, clip_norm: Option<f64>) -> Self {
        let optimizer = FusedAdamW::of(optimizer);
        Self {
            trainee: Some(Trainee::new(model)),
            scale: optimizer.scale(),
            optimizer: optimizer.into(),
            largest_norm: clip_norm.unwrap_or(f64::INFINITY),
        }
    }

    /// The model that learns.
    pub fn trainee(&self) -> &Trainee<B> {
        self.trainee.as_ref().expect(THERE)
    }

    fn model(&mut self) -> &mut Model<B> {
        &mut self.trainee.as_mut().expect(THERE).model
    }

    /// One step at the learning rate `lr`: every turn of the model, one after the other. A turn whose loss or gradient's norm is not finite changes nothing and is the last.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    pub fn step(&mut self, x: Tensor<B, 2>, lr: f64) -> Seen {
        let (size, told) = (x.dims()[0], Told::of(self.model()));
        let turns = self.model().turns();
        let mut seen =
            Seen { loss: BatchLoss { loss: f64::NAN, size, told, quality: None }, norm: 0.0 };
        for (number_of_turn, turn) in turns.into_iter().enumerate() {
            match self.model().learn(number_of_turn, x.clone()) {
                Learned::Loss(loss) => {
                    seen.loss.loss = number(loss.clone().inner());
                    let mut all = loss.backward();
                    let trainee = self.trainee();
                    let gradients = match &turn.players {
                        None => GradientsParams::from_module(&mut all, trainee),
                        Some(players) => GradientsParams::from_params(&mut all, trainee, players),
                    };
                    seen.norm = gradient_norm(trainee, &gradients);
                    if seen.is_finite() {
                        self.scale.set((self.largest_norm / seen.norm).min(1.0) as f32);
                        let trainee = self.trainee.take().expect(THERE);
                        self.trainee =
                            Some(self.optimizer.step(lr * turn.rate, trainee, gradients));
                    }
                }
                Learned::Moved(objective) => {
                    (seen.loss.loss, seen.norm) = (number(objective), 0.0);
                }
            }
            if !seen.is_finite() {
                break;
            }
        }
        seen
    }

    /// Largest absolute value among the weights; NaN if one is NaN.
    pub fn largest_weight(&self) -> f64 {
        largest_weight(self.trainee())
    }

    /// Weights as safetensors, and the optimizer's state.
    pub(super) fn to_bytes(&self) -> Result<[Vec<u8>; 2], TrainError> {
        let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
        let optimizer = recorder
            .record(self.optimizer.to_record(), ())
            .map_err(|error| TrainError::Optimizer(error.to_string()))?;
        Ok([weights::to_bytes(&self.trainee().model)?, optimizer])
    }

    /// Go on from what [`to_bytes`](Self::to_bytes) gave; the paths name the two in messages.
    pub(super) fn restore(
        &mut self,
        [model, optimizer]: [(Vec<u8>, &Path); 2],
        device: &B::Device,
    ) -> Result<(), TrainError> {
        weights::from_bytes(self.model(), model.0, model.1)?;
        let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
        let record = recorder.load(optimizer.0, device).map_err(|error| TrainError::Weights {
            path: optimizer.1.to_path_buf(),
            problem: error.to_string(),
        })?;
        self.optimizer = self.optimizer.clone().load_record(record);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atypical_models::{
        DensityModel,
        flow::{Flow, FlowConfig, Step},
    };
    use burn::backend::{Autodiff, Flex};

    type B = Autodiff<Flex>;

    /// The gradient's norm, and how far a step at lr 0.1 moves the log-density of a point.
    fn stepped(clip_norm: Option<f64>) -> (f64, f64) {
        let device = Default::default();
        let config = FlowConfig { shape: [1, 1, 2], transform: vec![Step::ActNorm {}] };
        let flow = Flow::<B>::new(&config, 0, &device).unwrap();
        let mut descent = Descent::new(flow.into(), &Optimizer::default(), clip_norm);
        let x = Tensor::<B, 2>::from_data([[3.0, -2.0]], &device);
        let log_p = |descent: &Descent<B>| {
            number(descent.trainee().model.as_flow().unwrap().log_prob(x.clone()).inner())
        };
        let before = log_p(&descent);
        let seen = descent.step(x.clone(), 0.1);
        (seen.norm, log_p(&descent) - before)
    }

    #[test]
    fn gradients_are_clipped_where_they_are_too_long() {
        let (norm, moved) = stepped(None);
        assert!(norm > 1.0 && moved > 0.1, "{norm}, {moved}");
        // A first step of AdamW is as long as its learning rate, whatever the gradient's length, until that falls below its epsilon.
        let (clipped, little) = stepped(Some(1e-13));
        assert_eq!(clipped, norm, "it is told as it was");
        assert!(little.abs() < 1e-3 * moved, "{little}");
        assert_eq!(stepped(Some(2.0 * norm)), (norm, moved));
    }
}
