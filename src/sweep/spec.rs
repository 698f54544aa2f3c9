//! What the queue keeps of a sweep's file.

use super::{
    Measure, SweepError,
    space::{Command, Stop, SweepFile},
    store,
};
use serde::{Deserialize, Serialize};

/// What agents and results need of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// The file, as it was read.
    pub file: SweepFile,
}

impl Spec {
    /// Of a sweep in the queue.
    ///
    /// # Errors
    /// It was written by another version.
    pub fn of(sweep: &store::Sweep) -> Result<Self, SweepError> {
        serde_json::from_str(&sweep.spec)
            .map_err(|e| SweepError::Trial { id: sweep.name.clone(), problem: e.to_string() })
    }

    /// What the queue is told.
    pub fn sweep(&self) -> store::Sweep {
        let Stop::Asha(asha) = match &self.file.stop {
            Some(stop) => stop,
            None => return self.queued(None),
        };
        let rungs = super::space::asha::rungs(asha.min, asha.max, asha.factor);
        self.queued(Some(store::Asha { rungs, factor: asha.factor as u32 }))
    }

    fn queued(&self, asha: Option<store::Asha>) -> store::Sweep {
        store::Sweep {
            name: self.file.name.clone(),
            spec: serde_json::to_string(self).unwrap_or_default(),
            goal: self.measure().goal,
            asha,
            max_attempts: self.file.attempts,
        }
    }

    /// What its trials are judged by.
    pub fn measure(&self) -> Measure {
        use super::space::Goal;
        match &self.file.metric {
            Some(metric) => Measure {
                name: metric.name.clone(),
                goal: match metric.goal {
                    Goal::Minimize => store::Goal::Min,
                    Goal::Maximize => store::Goal::Max,
                },
            },
            None => match self.file.command {
                Command::Train => Measure { name: "valid_loss".into(), goal: store::Goal::Min },
                Command::Ood => {
                    Measure { name: crate::ood::method::LIKELIHOOD.into(), goal: store::Goal::Max }
                }
            },
        }
    }

    /// The key that says how long a trial runs, where trials are stopped early.
    pub fn budget(&self) -> Option<&str> {
        let Stop::Asha(asha) = self.file.stop.as_ref()?;
        Some(&asha.budget)
    }
}
