//! The model: energies, samples, and what a batch teaches.

use super::{Domain, EnergyConfig, EnergyError, Langevin, SpectralNorm};
use crate::{
    DensityModel, Learn, Learned, Objective, init::Init, network::Encoder, ops::FlowBackend,
};
use burn::{
    backend::Autodiff,
    module::{AutodiffModule, Module, Param, ParamId},
    tensor::{
        Distribution, ElementConversion, Tensor,
        backend::{AutodiffBackend, Backend},
    },
};

/// Samples, the newest of the buffer, over which energies are averaged where a mean over samples is asked for.
const NEWEST: usize = 512;
/// How much larger than at the loss's minimum energies may be before they count as exploded.
const EXPLODED: f64 = 10.0;
/// Weight of squared energies that stands for none where their size is judged.
const LEAST_ALPHA: f64 = 1e-3;

/// Energy-based model (Du & Mordatch 2019, arXiv 1903.08689): `log p(x) = -E(x) - log Z` with a network E and an unknown constant Z.
///
/// It learns by contrastive divergence: samples `x⁻` come from Langevin chains that start where earlier chains ended (a replay buffer; a few start
/// from noise), and the loss lowers the energy of data `x⁺` and raises that of samples,
///
/// `E(x⁺) - E(x⁻) + α (E(x⁺)² + E(x⁻)²)`,
///
/// where the squares keep the energies from drifting.
///
/// [`log_prob`](DensityModel::log_prob) is `-E(x)`, the log-density up to `log Z`: it ranks inputs, but its nats are not comparable between models
/// (nor between two moments of training), and bits per dimension make no sense.
///
/// Should be created with [`Energy::new`].
#[derive(Module, Debug)]
pub struct Energy<B: Backend> {
    /// E before the normalisation of its weights.
    pub network: Encoder<B>,
    /// State of the spectral normalisation, where there is one.
    pub norm: Option<SpectralNorm<B>>,
    /// Where the latest chains ended, the newest first; noise at the start. `[buffer, D]`.
    pub buffer: Param<Tensor<B, 2>>,
    shape: [usize; 3],
    #[module(skip)]
    langevin: Langevin,
    fresh: f64,
    alpha: f64,
}

/// Mean energies of data and of samples, and how large they may be.
///
/// Where the model learns well, the two stay close to each other. Where samples lie far below data, chains have found valleys
/// without data in them, which the next steps fill; where the energies themselves get large, training has exploded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gap {
    /// Mean energy of the data.
    pub data: f64,
    /// Mean energy of the newest samples of the buffer.
    pub samples: f64,
    /// Ten times `1 / (2 α)`, which is the size of the energies at the loss's minimum; without α, which alone bounds them, as with α = 0.001.
    pub limit: f64,
}

impl Gap {
    /// Whether an energy is beyond the limit, or not a number at all.
    pub fn exploded(&self) -> bool {
        [self.data, self.samples].iter().any(|e| !e.is_finite() || e.abs() > self.limit)
    }
}

impl<B: Backend> Energy<B> {
    /// Shape of one input, `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// A model with initial weights and an initial buffer drawn from `seed`; the same on every backend.
    ///
    /// # Errors
    /// A number outside its range, or a network that does not fit the shape.
    pub fn new(config: &EnergyConfig, seed: u64, device: &B::Device) -> Result<Self, EnergyError> {
        config.validate()?;
        let mut init = Init::new(seed);
        let network = Encoder::new(&config.network, config.shape, 1, &mut init, device)?;
        let norm = config.spectral_norm.then(|| SpectralNorm::new(&network, &mut init, device));
        let dims = [config.buffer, config.shape.iter().product()];
        let noise = match Domain::of(config.shape) {
            Domain::Real => init.normal(dims, device),
            Domain::Unit => init.uniform(dims, 0.5, device).val().detach() + 0.5,
        };
        Ok(Self {
            network,
            norm,
            buffer: Param::initialized(ParamId::new(), noise),
            shape: config.shape,
            langevin: config.langevin,
            fresh: config.fresh,
            alpha: config.alpha,
        })
    }

    /// Where `n` chains start: each at a random sample of the buffer or, rarely, at noise.
    fn starts(&self, n: usize, device: &B::Device) -> Tensor<B, 2> {
        let buffer = self.buffer.val().detach();
        let [size, dimension] = buffer.dims();
        // Not all generators leave the upper end out.
        let range = Distribution::Uniform(0.0, size as f64);
        let which = Tensor::<B, 1>::random([n], range, device).int().clamp(0, size as i64 - 1);
        let fresh = Tensor::<B, 2>::random([n, 1], Distribution::Default, device);
        let noise = Domain::of(self.shape).noise([n, dimension], device);
        let fresh = fresh.lower_elem(self.fresh).expand([n, dimension]);
        buffer.select(0, which).mask_where(fresh, noise)
    }

    /// Puts samples into the buffer, at the front; the oldest leave.
    fn remember(&mut self, samples: Tensor<B, 2>) {
        let buffer = self.buffer.val().detach();
        let size = buffer.dims()[0];
        let buffer = Tensor::cat(vec![samples, buffer], 0).narrow(0, 0, size);
        self.buffer = Param::initialized(self.buffer.id, buffer);
    }

    /// E: the network, normalised where it is to be.
    fn normalised(&self) -> Encoder<B> {
        match &self.norm {
            Some(norm) => norm.normalised(self.network.clone()),
            None => self.network.clone(),
        }
    }
}

impl<B: FlowBackend> Energy<B> {
    /// E of each input.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    /// - output: `[batch]`
    pub fn energy(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        self.normalised().forward(x).squeeze_dim(1)
    }

    /// Mean energies of a batch and of the newest samples, read back.
    ///
    /// # Shapes
    /// - x: `[batch, D]`
    pub fn gap(&self, x: Tensor<B, 2>) -> Gap {
        let [data, samples] =
            [self.energy(x).mean(), self.sampled_energy()].map(|mean| mean.into_scalar().elem());
        Gap { data, samples, limit: EXPLODED / (2.0 * self.alpha.max(LEAST_ALPHA)) }
    }

    /// Mean energy of the newest samples of the buffer, `[1]`.
    fn sampled_energy(&self) -> Tensor<B, 1> {
        let buffer = self.buffer.val().detach();
        let newest = buffer.dims()[0].min(NEWEST);
        self.energy(buffer.narrow(0, 0, newest)).mean()
    }

    /// Samples from chains that `A` differentiates, `[n, D]`.
    fn chains<A: AutodiffBackend<InnerBackend = B> + FlowBackend>(
        &self,
        n: usize,
        device: &B::Device,
    ) -> Tensor<B, 2> {
        let network = Encoder::<A>::from_inner(self.normalised()).no_grad();
        let gradient = |x| {
            let x = Tensor::<A, 2>::from_inner(x).require_grad();
            // An energy depends on its own chain alone, so the sum's gradient has each chain's own.
            let gradients = network.forward(x.clone()).sum().backward();
            x.grad(&gradients).expect("the energy is computed from x")
        };
        self.langevin.run(self.starts(n, device), gradient, Domain::of(self.shape))
    }
}

impl<B: FlowBackend> DensityModel<B> for Energy<B> {
    fn dimension(&self) -> usize {
        self.shape.iter().product()
    }

    /// `-E(x)`: the log-density less a constant that nobody knows.
    fn log_prob(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        -self.energy(x)
    }

    /// Chains as in training: they start in the buffer or at noise. The buffer does not change.
    fn sample(&self, n: usize, device: &B::Device) -> Tensor<B, 2> {
        self.chains::<Autodiff<B>>(n, device)
    }
}

impl<B: AutodiffBackend + FlowBackend> Learn<B> for Energy<B>
where
    B::InnerBackend: FlowBackend,
{
    fn learn(&mut self, _turn: usize, x: Tensor<B, 2>) -> Learned<B> {
        if let Some(norm) = &mut self.norm {
            norm.iterate(&self.network);
        }
        let samples = self.valid().chains::<B>(x.dims()[0], &x.device());
        let samples = Tensor::from_inner(samples);
        self.remember(samples.clone());
        let network = self.normalised();
        let [data, samples] = [x, samples].map(|x| network.forward(x));
        let squares = data.clone().square() + samples.clone().square();
        Learned::Loss((data - samples + squares * self.alpha).mean())
    }
}

impl<B: FlowBackend> Objective<B> for Energy<B> {
    /// `E(x)` less the mean energy of the newest 512 samples of the buffer: what the loss lowers, without the squares.
    fn objective(&self, x: Tensor<B, 2>) -> Tensor<B, 1> {
        self.energy(x) - self.sampled_energy()
    }
}
