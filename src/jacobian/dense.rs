//! Dense Jacobians out of products.

use super::{Differential, JacobianError, Memory, finite};
use burn::tensor::{Tensor, TensorData, backend::Backend};

/// Whether a Jacobian is made of its columns or of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Columns, by Jacobian-vector products.
    Forward,
    /// Rows, by vector-Jacobian products.
    Reverse,
}

/// The dense Jacobian at one point, by as many products at a time as the memory allows.
///
/// # Shapes
/// - output: `D x D` values, row-major, row i the gradient of output i
///
/// # Errors
/// Several points, too little memory, NaN or infinite entries, an operation without a rule.
pub fn jacobian<B: Backend>(
    differential: &impl Differential<B>,
    mode: Mode,
    memory: Memory,
    device: &B::Device,
) -> Result<Vec<f32>, JacobianError> {
    let (points, n) = (differential.points(), differential.dimension());
    if points != 1 {
        return Err(JacobianError::Points(points));
    }
    // The matrix, and the products of a chunk with their directions.
    let (fixed, each) = (4 * n * n, differential.bytes_per_direction() + 8 * n);
    let chunk = memory.directions(each, fixed, n, n)?;
    let mut entries = vec![0.0f32; n * n];
    for from in (0..n).step_by(chunk) {
        let count = chunk.min(n - from);
        let directions = Tensor::from_data(identity_rows(from, count, n), device);
        let products = match mode {
            Mode::Forward => differential.jvp(directions)?,
            Mode::Reverse => differential.vjp(directions)?,
        };
        for (i, value) in products.into_data().iter::<f32>().enumerate() {
            let (direction, other) = (from + i / n, i % n);
            let at = match mode {
                Mode::Forward => other * n + direction,
                Mode::Reverse => direction * n + other,
            };
            entries[at] = value;
        }
    }
    finite(entries, n)
}

/// Rows `from..from + count` of the identity.
fn identity_rows(from: usize, count: usize, dimension: usize) -> TensorData {
    let mut values = vec![0.0f32; count * dimension];
    for i in 0..count {
        values[i * dimension + from + i] = 1.0;
    }
    TensorData::new(values, [count, dimension])
}
