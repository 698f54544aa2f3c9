//! MLflow: a run on a tracking server.

mod rest;
mod values;

use crate::{
    Entry, Event, Outcome, RunInfo, TrackError, Tracker, event::now, flat::flatten, names, png::Png,
};
use rest::Server;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs::File, path::Path};
use values::{NAME, PARAM, cleaned, cut, known_params, number, split, tags};

/// The tag that a run is found again by.
const ID: &str = "atypical.run_id";
/// The most metrics that a request may have.
const METRICS: usize = 1000;
/// The most parameters, and the most tags.
const PARAMS: usize = 100;
/// Bytes of a request, of the million that it may have.
const BYTES: usize = 500_000;

/// Logs to an MLflow server: metrics, the config as parameters, and images, tables and files as artifacts.
#[derive(Debug)]
pub struct Mlflow {
    server: Server,
    run: Option<Run>,
    metrics: Vec<Value>,
}

#[derive(Debug)]
struct Run {
    info: RunInfo,
    /// As the server calls it.
    id: String,
    artifacts: String,
}

impl Mlflow {
    /// The server at this address, `http://…` or `https://…`. Credentials come from `MLFLOW_TRACKING_USERNAME` and
    /// `MLFLOW_TRACKING_PASSWORD`, or `MLFLOW_TRACKING_TOKEN`.
    ///
    /// # Errors
    /// What is no such address, or credentials that no header can hold.
    pub fn new(uri: &str) -> Result<Self, TrackError> {
        let server = Server::new(uri, |key| std::env::var(key).ok())?;
        Ok(Self { server, run: None, metrics: Vec::new() })
    }

    fn run(&self) -> Result<&Run, TrackError> {
        self.run.as_ref().ok_or_else(|| TrackError::Event {
            what: "an event".into(),
            problem: "the run has not begun".into(),
        })
    }

    /// The experiment of a name, made where there is none.
    fn experiment(&self, name: &str) -> Result<String, TrackError> {
        let find = || self.server.get("experiments/get-by-name", &[("experiment_name", name)]);
        let found = match find() {
            Err(TrackError::Answer { status: 404, .. }) => {
                match self.server.post("experiments/create", &json!({ "name": name })) {
                    // Another run made it meanwhile.
                    Err(TrackError::Answer { status: 400, .. }) => find()?,
                    created => return text(&created?["experiment_id"], "experiment_id"),
                }
            }
            found => found?,
        };
        let experiment = &found["experiment"];
        if experiment["lifecycle_stage"] == "deleted" {
            return Err(TrackError::Run {
                field: "project",
                value: name.to_owned(),
                problem: "the MLflow experiment of that name is deleted; restore it there, or choose another project".into(),
            });
        }
        text(&experiment["experiment_id"], "experiment_id")
    }

    /// The run, and the parameters that it has; made where there is none of its id.
    fn find_or_create(&self, run: &RunInfo, experiment: &str) -> Result<Value, TrackError> {
        let filter = format!("tags.`{ID}` = '{}'", run.id);
        let search = json!({ "experiment_ids": [experiment], "filter": filter, "max_results": 1 });
        let found = self.server.post("runs/search", &search)?["runs"][0].clone();
        if found.is_null() {
            let tags = [json!({ "key": ID, "value": run.id })];
            let create = json!({ "experiment_id": experiment, "run_name": run.name, "start_time": now(), "tags": tags });
            return Ok(self.server.post("runs/create", &create)?["run"].clone());
        }
        let id = &found["info"]["run_id"];
        self.server.post("runs/update", &json!({ "run_id": id, "status": "RUNNING" }))?;
        Ok(found)
    }

    fn log_batch(
        &self,
        run: &str,
        kind: &str,
        most: usize,
        items: &[Value],
    ) -> Result<(), TrackError> {
        let mut items = items.iter().peekable();
        while items.peek().is_some() {
            let (mut chunk, mut bytes) = (Vec::new(), 0);
            while let Some(item) = items.next_if(|_| chunk.len() < most && bytes < BYTES) {
                bytes += item.to_string().len();
                chunk.push(item);
            }
            self.server.post("runs/log-batch", &json!({ "run_id": run, kind: chunk }))?;
        }
        Ok(())
    }

    fn metrics(&mut self, time: u64, step: u64, values: &BTreeMap<String, f64>) {
        self.metrics.extend(values.iter().map(|(name, value)| {
            json!({ "key": cleaned(name), "value": number(*value), "timestamp": time, "step": step })
        }));
    }

    fn artifact(&self, parts: &[&str], body: impl ureq::AsSendBody) -> Result<(), TrackError> {
        let root = &self.run()?.artifacts;
        // Of this server, with or without its name: mlflow-artifacts:/1/RUN/artifacts, mlflow-artifacts://host/1/RUN/artifacts.
        let path = root.strip_prefix("mlflow-artifacts:").map(|rest| {
            let host = rest.strip_prefix("//").and_then(|rest| rest.split_once('/'));
            host.map_or(rest, |(_, path)| path)
        });
        let Some(path) = path else {
            return Err(TrackError::Event {
                what: format!("the artifact {}", parts.join("/")),
                problem: format!(
                    "the MLflow server keeps artifacts in {root}, not itself; start it with --serve-artifacts"
                ),
            });
        };
        let root = path.split('/').filter(|part| !part.is_empty());
        self.server.put(&Vec::from_iter(root.chain(parts.iter().copied())), body)
    }
}

impl Tracker for Mlflow {
    fn name(&self) -> &'static str {
        "mlflow"
    }

    fn start(&mut self, run: &RunInfo) -> Result<(), TrackError> {
        let experiment = self.experiment(&run.project)?;
        let found = self.find_or_create(run, &experiment)?;
        let id = text(&found["info"]["run_id"], "run_id")?;
        let known = known_params(&found);
        let (mut params, mut tags) = (Vec::new(), tags(run));
        for (key, value) in flatten(&run.config) {
            let (key, value) = (cleaned(&key), cut(&value, PARAM));
            match known.get(key.as_str()) {
                None => params.push(json!({ "key": key, "value": value })),
                Some(old) if *old == value => {}
                // MLflow does not change parameters: what a resumed run is told otherwise is a tag.
                Some(_) => {
                    tags.push(json!({ "key": cut(&format!("param.{key}"), NAME), "value": value }))
                }
            }
        }
        self.log_batch(&id, "tags", PARAMS, &tags)?;
        self.log_batch(&id, "params", PARAMS, &params)?;
        let artifacts = text(&found["info"]["artifact_uri"], "artifact_uri")?;
        self.run = Some(Run { info: run.clone(), id, artifacts });
        Ok(())
    }

    fn record(&mut self, Entry { time, event }: &Entry) -> Result<(), TrackError> {
        match event {
            Event::Metrics { step, values } | Event::Summary { step, values } => {
                self.metrics(*time, *step, values);
                Ok(())
            }
            Event::Image { step, name, png } => {
                Png::read(name, png)?;
                let file = format!("{step:09}.png");
                let parts = [&["images"], &*names::parts(Path::new(name))?, &[&*file]].concat();
                self.artifact(&parts, png)
            }
            Event::Table { step, name, table } => {
                let file = format!("{step:09}.json");
                let parts = [&["tables"], &*names::parts(Path::new(name))?, &[&*file]].concat();
                self.artifact(&parts, split(table).to_string())
            }
            Event::File { path } => {
                let name = self.run()?.info.name_of(path)?;
                let file = File::open(path).map_err(TrackError::read(path))?;
                self.artifact(&names::parts(&name)?, &file)
            }
        }
    }

    fn flush(&mut self) -> Result<usize, TrackError> {
        let metrics = std::mem::take(&mut self.metrics);
        self.log_batch(&self.run()?.id, "metrics", METRICS, &metrics).map(|()| 0)
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), TrackError> {
        let status = match outcome {
            Outcome::Done => "FINISHED",
            Outcome::Failed => "FAILED",
            Outcome::Preempted => "KILLED",
        };
        let id = &self.run()?.id;
        let update = json!({ "run_id": id, "status": status, "end_time": now() });
        self.server.post("runs/update", &update).map(drop)
    }
}

fn text(value: &Value, key: &str) -> Result<String, TrackError> {
    value.as_str().map(str::to_owned).ok_or_else(|| TrackError::Protocol {
        url: "the MLflow server".into(),
        problem: format!("there is no `{key}`"),
    })
}
