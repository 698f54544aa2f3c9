//! Which backends this build has, and picking one at run time.
//!
//! Backends are cargo features (`flex`, `ndarray`, `wgpu`, `cuda`); a build may hold several. [`with_backend!`](crate::with_backend) runs generic
//! code on the one that `--backend` names.

mod failure;
mod speed;

#[cfg(any(feature = "wgpu", feature = "cuda"))]
use burn::tensor::backend::Backend;
use clap::ValueEnum;
use thiserror::Error;

pub use failure::end_on_device_failure;
pub use speed::speed;

/// A backend that a build can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackendName {
    /// burn's fast CPU backend (default).
    Flex,
    /// ndarray on the CPU.
    Ndarray,
    /// WGPU: Vulkan, Metal or DirectX.
    Wgpu,
    /// CUDA.
    Cuda,
}

/// A backend that cannot be used.
#[derive(Debug, Error, PartialEq)]
pub enum BackendError {
    /// It is not in this build.
    #[error(
        "this build has no backend `{name}`; it has {available}. Build with it: cargo build --release --features {name}"
    )]
    NotBuilt {
        /// The backend.
        name: String,
        /// Those that are there.
        available: String,
    },
    /// There is no such device.
    #[error(
        "the backend `{name}` has no device {device}; this machine has {count} for it, counted from 0{}. `atypical backends` lists what can be used here",
        if *count == 0 { " (is its driver installed?)" } else { "" }
    )]
    NoDevice {
        /// The backend.
        name: String,
        /// The device.
        device: usize,
        /// How many there are.
        count: usize,
    },
}

impl BackendName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Flex, Self::Ndarray, Self::Wgpu, Self::Cuda];

    /// Its name on the command line and as a cargo feature.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::Ndarray => "ndarray",
            Self::Wgpu => "wgpu",
            Self::Cuda => "cuda",
        }
    }

    /// Whether this build has it.
    pub fn is_built(self) -> bool {
        match self {
            Self::Flex => cfg!(feature = "flex"),
            Self::Ndarray => cfg!(feature = "ndarray"),
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Cuda => cfg!(feature = "cuda"),
        }
    }

    /// The first one that this build has.
    pub fn default_of_build() -> Self {
        Self::ALL.into_iter().find(|b| b.is_built()).unwrap_or(Self::Flex)
    }

    /// Check that this build has it and that the device can be.
    ///
    /// # Errors
    /// A backend that is not built in; a device other than 0 on a CPU.
    pub fn check(self, device: usize) -> Result<(), BackendError> {
        if !self.is_built() {
            let available: Vec<&str> =
                Self::ALL.into_iter().filter(|b| b.is_built()).map(Self::name).collect();
            return Err(BackendError::NotBuilt {
                name: self.name().into(),
                available: available.join(", "),
            });
        }
        let count = self.device_count();
        if device >= count {
            return Err(BackendError::NoDevice { name: self.name().into(), device, count });
        }
        Ok(())
    }

    /// Devices that this machine has for it; 0 where its driver is missing or it is not in this build.
    pub fn device_count(self) -> usize {
        match self {
            Self::Flex => usize::from(cfg!(feature = "flex")),
            Self::Ndarray => usize::from(cfg!(feature = "ndarray")),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => {
                // Device 0 is whatever WGPU prefers, be it a software renderer; further ones are discrete cards.
                const DISCRETE: u16 = 0;
                quietly(|| <burn::backend::Wgpu>::device_count(DISCRETE).max(1)).unwrap_or(0)
            }
            #[cfg(feature = "cuda")]
            Self::Cuda => quietly(|| <burn::backend::Cuda>::device_count(0)).unwrap_or(0),
            #[allow(unreachable_patterns)]
            _ => 0,
        }
    }
}

/// None where it panics, without a word: so CubeCL tells that a driver is not there.
pub(crate) fn quietly<T>(ask: impl FnOnce() -> T + std::panic::UnwindSafe) -> Option<T> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let answer = std::panic::catch_unwind(ask);
    std::panic::set_hook(hook);
    answer.ok()
}

/// Evaluate `$body` with the type `$B` and the value `$device` of a backend that [`BackendName::check`] has passed.
#[macro_export]
macro_rules! with_backend {
    ($name:expr, $index:expr, |$B:ident, $device:ident| $body:expr) => {{
        let index: usize = $index;
        match $name {
            #[cfg(feature = "flex")]
            $crate::backend::BackendName::Flex => {
                type $B = burn::backend::Flex;
                let $device: <$B as burn::tensor::backend::BackendTypes>::Device =
                    Default::default();
                $body
            }
            #[cfg(feature = "ndarray")]
            $crate::backend::BackendName::Ndarray => {
                type $B = burn::backend::NdArray<f32>;
                let $device: <$B as burn::tensor::backend::BackendTypes>::Device =
                    Default::default();
                $body
            }
            #[cfg(feature = "wgpu")]
            $crate::backend::BackendName::Wgpu => {
                type $B = burn::backend::Wgpu;
                let $device = match index {
                    0 => burn::backend::wgpu::WgpuDevice::DefaultDevice,
                    i => burn::backend::wgpu::WgpuDevice::DiscreteGpu(i),
                };
                $body
            }
            #[cfg(feature = "cuda")]
            $crate::backend::BackendName::Cuda => {
                type $B = burn::backend::Cuda;
                let $device = burn::backend::cuda::CudaDevice::new(index);
                $body
            }
            #[allow(unreachable_patterns)]
            _ => unreachable!(
                "BackendName::check passed for device {index} of a backend that is not built"
            ),
        }
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_explained() {
        if !BackendName::Cuda.is_built() {
            let message = BackendName::Cuda.check(0).unwrap_err().to_string();
            assert!(message.contains("--features cuda") && message.contains("flex"), "{message}");
        }
        let message = BackendName::Flex.check(3).unwrap_err().to_string();
        assert!(message.contains("no device 3"), "{message}");
        assert_eq!(BackendName::Flex.check(0), Ok(()));
    }
}
