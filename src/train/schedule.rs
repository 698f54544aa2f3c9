//! The learning rate of each step.

use crate::config::Scheduler;

/// Learning rate as a function of the step alone, so that a resumed run goes on as if it had not stopped.
#[derive(Clone, Debug)]
pub struct Schedule {
    lr: f64,
    scheduler: Scheduler,
    steps_per_epoch: usize,
    total: usize,
}

impl Schedule {
    pub fn new(lr: f64, scheduler: Scheduler, steps_per_epoch: usize, total: usize) -> Self {
        Self { lr, scheduler, steps_per_epoch, total }
    }

    /// Steps in all.
    pub fn total(&self) -> usize {
        self.total
    }

    /// The learning rate of a step, counted from 0.
    pub fn rate(&self, step: usize) -> f64 {
        match self.scheduler {
            Scheduler::Constant {} => self.lr,
            Scheduler::Exponential { gamma } => {
                self.lr * gamma.powf((step / self.steps_per_epoch.max(1)) as f64)
            }
            Scheduler::OneCycle {} => {
                let warm_up = (self.total as f64 / 10.0).max(1.0);
                if (step as f64) < warm_up {
                    return self.lr * (step as f64 + 1.0) / (warm_up + 1.0);
                }
                self.cosine(step, warm_up)
            }
            Scheduler::Cosine {} => self.cosine(step, 0.0),
        }
    }

    /// Half a period of the cosine, from `start` to the last step.
    fn cosine(&self, step: usize, start: f64) -> f64 {
        let share = (step as f64 - start) / (self.total as f64 - start).max(1.0);
        self.lr * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(scheduler: Scheduler) -> Vec<f64> {
        let schedule = Schedule::new(1.0, scheduler, 10, 100);
        (0..100).map(|step| schedule.rate(step)).collect()
    }

    #[test]
    fn exponential_decay_is_by_epoch() {
        let rates = rates(Scheduler::Exponential { gamma: 0.5 });
        assert_eq!((rates[9], rates[10], rates[25]), (1.0, 0.5, 0.25));
    }

    #[test]
    fn one_cycle_rises_and_falls_to_nothing() {
        let rates = rates(Scheduler::OneCycle {});
        assert!(rates[..10].windows(2).all(|w| w[0] < w[1]));
        assert!(rates[10..].windows(2).all(|w| w[0] > w[1]));
        assert!(rates[10] == 1.0 && rates[99] < 0.01 && rates[0] > 0.0);
    }

    /// As PyTorch's CosineAnnealingLR has it.
    #[test]
    fn a_cosine_falls_from_the_start() {
        let rates = rates(Scheduler::Cosine {});
        for (step, rate) in [(0, 1.0), (25, 0.5 + 0.125_f64.sqrt()), (50, 0.5)] {
            assert!((rates[step] - rate).abs() < 1e-12, "{step}: {}", rates[step]);
        }
        assert!(rates[99] < 0.001 && rates.windows(2).all(|w| w[0] > w[1]));
    }
}
