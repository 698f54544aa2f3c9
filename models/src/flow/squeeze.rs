//! Space to depth.

use super::Bijection;
use burn::{
    module::Module,
    tensor::{Tensor, backend::Backend},
};

/// Trades space for channels: `[c, h, w]` becomes `[c f g, h/f, w/g]`, with the channel of pixel `(i, j)` of an `f x g`
/// block at `c f g + i g + j` (Dinh et al. 2017, arXiv 1605.08803, with `f = g`). Blocks as large as the map flatten it.
#[derive(Module, Clone, Debug)]
pub struct Squeeze {
    /// Height and width of a block, `f` and `g`.
    pub block: [usize; 2],
}

impl<B: Backend> Bijection<B> for Squeeze {
    fn forward(&self, x: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>) {
        let [f, g] = self.block;
        let [n, c, h, w] = x.dims();
        // Five dimensions: with one of tangents in front six, the most that ndarray takes.
        let z = x.reshape([n * c, h / f, f, w / g, g]).permute([0, 2, 4, 1, 3]);
        let z = z.reshape([n, c * f * g, h / f, w / g]);
        let zero = Tensor::zeros([n], &z.device());
        (z, zero)
    }

    fn inverse(&self, z: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 1>) {
        let [f, g] = self.block;
        let [n, c, h, w] = z.dims();
        let x = z.reshape([n * c / (f * g), f, g, h, w]).permute([0, 3, 1, 4, 2]);
        let x = x.reshape([n, c / (f * g), h * f, w * g]);
        let zero = Tensor::zeros([n], &x.device());
        (x, zero)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::backend::Flex;

    #[test]
    fn pixels_of_a_block_become_channels() {
        let device = Default::default();
        let x = Tensor::<Flex, 1>::from_floats(
            [0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.],
            &device,
        )
        .reshape([1, 1, 4, 4]);
        let (z, log_det) = Squeeze { block: [2, 2] }.forward(x.clone());
        let expected = [0., 2., 8., 10., 1., 3., 9., 11., 4., 6., 12., 14., 5., 7., 13., 15.];
        assert_eq!(z.clone().into_data().to_vec::<f32>().unwrap(), expected);
        assert_eq!(log_det.into_scalar(), 0.0);
        let (back, _) = Squeeze { block: [2, 2] }.inverse(z);
        assert_eq!(back.into_data(), x.into_data());
    }
}
