//! Sweeps: what they are, and how they come and go.

use super::{
    Store, StoreError,
    database::{Fault, Kind, Row, Transaction},
    error::check_json,
};
use serde::Serialize;

/// What is better of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    /// The smaller one.
    Min,
    /// The larger one.
    Max,
}

/// Asynchronous successive halving (Li et al. 2020, arXiv:1810.05934): of the trials that have reported at a rung, the best 1/`factor` go
/// on to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Asha {
    /// The budget at each rung, growing.
    pub rungs: Vec<u64>,
    /// How many trials of a rung there are to one that goes on; 2 or more.
    pub factor: u32,
}

/// A sweep: the trials of one search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sweep {
    /// Its name, unique in the store.
    pub name: String,
    /// What its trials were made from, as JSON.
    pub spec: String,
    /// What value is sought.
    pub goal: Goal,
    /// How trials are stopped early, if they are.
    pub asha: Option<Asha>,
    /// How many attempts of a trial may fail before it is quarantined; 1 or more.
    pub max_attempts: u32,
}

/// A sweep as the store has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listed {
    /// The sweep.
    #[serde(flatten)]
    pub sweep: Sweep,
    /// When it was created, in seconds since 1970.
    pub created: f64,
}

/// What became of the creation of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// It is new.
    Created,
    /// It was there already, just so.
    Same,
    /// It was there with another spec or another number of attempts, which were replaced. Its trials stay.
    Updated,
}

impl Store {
    /// Create a sweep, or update the spec and the number of attempts of the one of that name.
    ///
    /// # Errors
    /// The settings make no sense, or the sweep is there with another goal or other rungs.
    pub fn create_sweep(&mut self, sweep: &Sweep) -> Result<Creation, StoreError> {
        sweep.check()?;
        let rungs = sweep.asha.as_ref().map(|asha| serde_json::json!(asha.rungs).to_string());
        let factor = sweep.asha.as_ref().map(|asha| i64::from(asha.factor));
        let (name, spec, attempts) = (&sweep.name, &sweep.spec, i64::from(sweep.max_attempts));
        self.database.transaction(Kind::Lasting, |tx| {
            let now = tx.now;
            let created = tx.execute(
                "INSERT INTO sweeps (name, created, goal, rungs, factor, max_attempts, spec) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
                &[name, &now, &sweep.goal.name(), &rungs, &factor, &attempts, spec],
            )?;
            if created == 1 {
                return Ok(Creation::Created);
            }
            let there = locked(tx, name)?;
            if there == *sweep {
                return Ok(Creation::Same);
            }
            if (there.goal, &there.asha) != (sweep.goal, &sweep.asha) {
                return Err(StoreError::Fixed(name.clone()).into());
            }
            let update = "UPDATE sweeps SET spec = $2, max_attempts = $3 WHERE name = $1";
            tx.execute(update, &[name, spec, &attempts])?;
            Ok(Creation::Updated)
        })
    }

    /// The sweep of that name.
    ///
    /// # Errors
    /// There is no such sweep.
    pub fn sweep(&mut self, name: &str) -> Result<Sweep, StoreError> {
        self.database.transaction(Kind::Reading, |tx| named(tx, name))
    }

    /// All sweeps, the oldest first.
    ///
    /// # Errors
    /// The store fails.
    pub fn sweeps(&mut self) -> Result<Vec<Listed>, StoreError> {
        self.database.transaction(Kind::Reading, |tx| {
            tx.query("SELECT * FROM sweeps ORDER BY created, name", &[], |row| {
                Ok(Listed { sweep: Sweep::read(row)?, created: row.get("created")? })
            })
        })
    }

    /// Remove a sweep with all its trials. Agents that work on one lose it.
    ///
    /// # Errors
    /// There is no such sweep.
    pub fn remove_sweep(&mut self, name: &str) -> Result<(), StoreError> {
        self.database.transaction(Kind::Lasting, |tx| {
            locked(tx, name)?;
            tx.execute("DELETE FROM sweeps WHERE name = $1", &[&name])?;
            Ok(())
        })
    }
}

/// The sweep of that name.
pub(super) fn named(tx: &mut Transaction, name: &str) -> Result<Sweep, Fault> {
    select(tx, name, "")
}

/// The same, with nobody else changing it, or adding trials to it, meanwhile.
pub(super) fn locked(tx: &mut Transaction, name: &str) -> Result<Sweep, Fault> {
    select(tx, name, tx.lock())
}

fn select(tx: &mut Transaction, name: &str, lock: &str) -> Result<Sweep, Fault> {
    let sql = format!("SELECT * FROM sweeps WHERE name = $1{lock}");
    if let Some(sweep) = tx.first(&sql, &[&name], Sweep::read)? {
        return Ok(sweep);
    }
    let all = "SELECT name FROM sweeps ORDER BY name";
    let all = tx.query(all, &[], |row| row.get::<String>("name"))?;
    let there = match all.as_slice() {
        [] => "; the store has none yet, create one first".into(),
        all => format!("; there are: {}", all.join(", ")),
    };
    Err(StoreError::NoSweep { name: name.into(), there }.into())
}

impl Sweep {
    fn check(&self) -> Result<(), StoreError> {
        let refuse = |problem: &str| {
            Err(StoreError::Sweep { name: self.name.clone(), problem: problem.into() })
        };
        check_json("spec", &self.name, &self.spec)?;
        if self.name.is_empty() || self.name.contains(char::is_control) {
            return refuse("a name has at least one character, and none that cannot be printed");
        }
        if self.max_attempts == 0 {
            return refuse("max_attempts is 0, so that no trial could run; give 1 or more");
        }
        match &self.asha {
            Some(asha) if asha.rungs.is_empty() || !asha.rungs.is_sorted_by(|a, b| a < b) => {
                refuse(&format!(
                    "the rungs {:?} do not grow; give budgets such as 1, 3, 9",
                    asha.rungs
                ))
            }
            Some(asha) if asha.factor < 2 => {
                refuse(&format!("the factor {} stops no trial; give 2 or more", asha.factor))
            }
            _ => Ok(()),
        }
    }

    fn read(row: &Row) -> Result<Self, Fault> {
        let rungs: Option<String> = row.get("rungs")?;
        let rungs = rungs.and_then(|rungs| serde_json::from_str(&rungs).ok());
        let factor: Option<i64> = row.get("factor")?;
        Ok(Self {
            name: row.get("name")?,
            spec: row.get("spec")?,
            goal: if row.get::<String>("goal")? == Goal::Max.name() {
                Goal::Max
            } else {
                Goal::Min
            },
            asha: rungs.zip(factor).map(|(rungs, factor)| Asha { rungs, factor: factor as u32 }),
            max_attempts: row.get::<i64>("max_attempts")? as u32,
        })
    }

    /// The budget of a trial at a rung, where there are rungs.
    pub(super) fn budget(&self, rung: i64) -> Option<u64> {
        self.asha.as_ref()?.rungs.get(usize::try_from(rung).ok()?).copied()
    }

    /// The highest rung; 0 where there is but one.
    pub(super) fn top(&self) -> i64 {
        self.asha.as_ref().map_or(0, |asha| asha.rungs.len() as i64 - 1)
    }
}

impl Goal {
    fn name(self) -> &'static str {
        match self {
            Self::Min => "min",
            Self::Max => "max",
        }
    }

    /// A value as the loss by which trials are ranked, and a loss as the value. NaN is none.
    pub(super) fn turn(self, value: f64) -> Option<f64> {
        let turned = if self == Self::Max { -value } else { value };
        (!turned.is_nan()).then_some(turned)
    }
}
