//! A step of AdamW in one pass over memory.

/// The numbers of one step of AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101):
///
/// with `g` the gradient times `scale`, `m ← β₁ m + (1 - β₁) g`, `s ← β₂ s + (1 - β₂) g²`, `θ ← (1 - η λ) θ - η m̂ / (√ŝ + ε)` with `m̂ = m / (1 - β₁ᵗ)`, `ŝ = s / (1 - β₂ᵗ)`.
#[derive(Clone, Copy, Debug)]
pub struct AdamWStep {
    /// Learning rate η.
    pub lr: f32,
    /// Weight decay λ.
    pub weight_decay: f32,
    /// Decays β₁ and β₂ of the moments.
    pub betas: [f32; 2],
    /// ε.
    pub epsilon: f32,
    /// The step's number t, from 1.
    pub time: i32,
    /// What gradients are multiplied by first: below 1 where they are clipped.
    pub scale: f32,
}

impl AdamWStep {
    /// Take the step, in place.
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    pub(crate) fn apply(
        &self,
        parameter: &mut [f32],
        gradient: &[f32],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        pulp::Arch::new().dispatch(Pass { step: self, parameter, gradient, first, second });
    }
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
struct Pass<'a> {
    step: &'a AdamWStep,
    parameter: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
impl pulp::WithSimd for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let Self { step, parameter, gradient, first, second } = self;
        let [b1, b2] = step.betas;
        let (c1, c2) = (1.0 - b1.powi(step.time), 1.0 - b2.powi(step.time));
        let keep = 1.0 - step.lr * step.weight_decay;
        let moments = first.iter_mut().zip(second);
        for ((p, g), (m, s)) in parameter.iter_mut().zip(gradient).zip(moments) {
            let g = step.scale * g;
            *m = b1 * *m + (1.0 - b1) * g;
            *s = b2 * *s + (1.0 - b2) * (g * g);
            *p = keep * *p - step.lr * ((*m / c1) / ((*s / c2).sqrt() + step.epsilon));
        }
    }
}
