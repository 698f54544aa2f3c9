//! A budget of memory.

use super::JacobianError;

/// Bytes that one Jacobian may take beside the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory(pub usize);

/// Bytes of a MiB.
pub(super) const MIB: usize = 1 << 20;

impl Memory {
    /// So many MiB.
    pub fn mib(mib: usize) -> Self {
        Self(mib.saturating_mul(MIB))
    }

    /// How many directions of `each` bytes go together, at most `wanted`, beside `fixed` bytes for the matrix of dimension
    /// `dimension`.
    ///
    /// # Errors
    /// Not even one.
    pub(super) fn directions(
        self,
        each: usize,
        fixed: usize,
        wanted: usize,
        dimension: usize,
    ) -> Result<usize, JacobianError> {
        let needed = fixed + each;
        if needed > self.0 {
            let (needed, allowed) = (needed.div_ceil(MIB), self.0 / MIB);
            return Err(JacobianError::Memory { dimension, needed, allowed });
        }
        Ok(((self.0 - fixed) / each.max(1)).clamp(1, wanted.max(1)))
    }

    /// How many points whose products take `each` bytes go together, at most `wanted`.
    ///
    /// # Errors
    /// Not even one.
    pub fn points(self, each: usize, wanted: usize) -> Result<usize, JacobianError> {
        match self.0 / each.max(1) {
            0 => Err(JacobianError::Products { needed: each.div_ceil(MIB), allowed: self.0 / MIB }),
            most => Ok(most.min(wanted.max(1))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_kept_and_what_is_missing_is_named() {
        assert_eq!(Memory(100).directions(10, 30, 50, 4), Ok(7));
        assert_eq!(Memory(1000).directions(10, 30, 50, 4), Ok(50));
        assert_eq!(
            Memory::mib(3).directions(MIB, 4 * MIB, 50, 9),
            Err(JacobianError::Memory { dimension: 9, needed: 5, allowed: 3 })
        );
        assert_eq!(Memory(100).points(30, 50), Ok(3));
        assert_eq!(Memory(100).points(30, 2), Ok(2));
        assert_eq!(
            Memory::mib(1).points(2 * MIB, 4),
            Err(JacobianError::Products { needed: 2, allowed: 1 })
        );
    }
}
