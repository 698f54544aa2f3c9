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
                let (step, total) = (step as f64, self.total.max(1) as f64);
                let warm_up = (total / 10.0).max(1.0);
                if step < warm_up {
                    return self.lr * (step + 1.0) / (warm_up + 1.0);
                }
                let share = (step - warm_up) / (total - warm_up).max(1.0);
                self.lr * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
            }
        }
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
}
