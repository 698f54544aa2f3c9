//! Runs as repositories of the hub: what is published of them, and how they come back.

use super::{RunDir, RunError};
use crate::{
    config::{Loaded, TrainConfig},
    hub::{Content, Hub, HubError},
};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Where runs of the hub lie under `MODEL_DIR`.
const FOLDER: &str = "hf";

/// A run that cannot be published or had from the hub.
#[derive(Debug, Error)]
pub enum PublishError {
    /// Something between here and the hub.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The run directory.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The run's configuration.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// A run without weights.
    #[error("the run {0} has no weights yet: train it first, or import them")]
    NoWeights(PathBuf),
}

impl RunDir {
    /// The run that is published as `repo`, at a revision where one is named (`org/name@v1`): copied to `hf/org/name` under `model_dir`, once for each commit.
    ///
    /// # Errors
    /// As [`Hub::run`]; a folder that cannot be written.
    pub fn published(
        hub: &Hub,
        repo: &str,
        model_dir: &Path,
        progress: &dyn Fn(u64, u64),
    ) -> Result<RunDir, PublishError> {
        let (name, revision) = repo.split_once('@').map_or((repo, None), |(n, r)| (n, Some(r)));
        let snapshot = hub.run(name, revision, progress)?;
        let commit = snapshot.file_name().map(|c| c.to_string_lossy().into_owned());
        let place = format!("{FOLDER}/{repo}");
        Ok(Self::copied(model_dir, &place, &snapshot, &commit.unwrap_or_default())?)
    }

    /// Publish the run's weights, configuration and log, with a card that says what it is; returns the commit's URL.
    ///
    /// # Errors
    /// A run without weights; as [`Hub::push`].
    pub fn publish(&self, hub: &Hub, repo: &str, private: bool) -> Result<String, PublishError> {
        if !self.weights().exists() {
            return Err(PublishError::NoWeights(self.root().to_path_buf()));
        }
        let config = Loaded::<TrainConfig>::file(&self.config())?.config;
        let picture = self.last_samples();
        let mut files = vec![
            (
                "README.md".to_owned(),
                Content::Bytes(card(self, &config, repo, picture.is_some()).into()),
            ),
            // Under the name of the best, as which it is read, though it may be the latest.
            ("model/best.safetensors".to_owned(), Content::File(self.weights())),
            ("config.yaml".to_owned(), Content::File(self.config())),
        ];
        let log = self.metrics_log();
        files.extend(log.exists().then(|| ("metrics.jsonl".to_owned(), Content::File(log))));
        let origin = self.root().join(ORIGIN);
        files.extend(origin.exists().then(|| (ORIGIN.to_owned(), Content::File(origin))));
        files.extend(picture.map(|path| ("samples.png".to_owned(), Content::File(path))));
        Ok(hub.push(repo, private, &files, &format!("Run {}", self.name()))?)
    }
}

/// Where an imported run is from.
pub(crate) const ORIGIN: &str = "import.json";

/// The card of a run: what the hub shows on its page.
fn card(run: &RunDir, config: &TrainConfig, repo: &str, picture: bool) -> String {
    let epoch = run.last_epoch();
    let losses = epoch.map(|epoch| losses(&epoch)).unwrap_or_default();
    let how = match run.root().join(ORIGIN).exists() {
        true => "in PyTorch and imported by",
        false => "with",
    };
    let kind = serde_json::to_value(&config.model).unwrap_or_default();
    let kind = kind["name"].as_str().unwrap_or("model").to_owned();
    let (family, tag) = config.model.family();
    let data = &config.data.train;
    // Only flows have a round trip to look at.
    let doctor = match config.model.flow() {
        Some(_) => format!("$ atypical doctor --run hf://{repo} --data {data}\n"),
        None => String::new(),
    };
    let [c, h, w] = config.model.shape();
    let picture = if picture { "\n![samples of the model](samples.png)\n" } else { "" };
    format!(
        "---\nlibrary_name: atypical\ntags:\n- {tag}\n- density-estimation\n- out-of-distribution-detection\n---\n\n\
         # {name}\n\n{family} (`{kind}`) for data of shape {c} x {h} x {w}, trained on `{data}` {how} atypical {version}.\n{picture}\n{losses}\
         ```console\n{doctor}$ atypical score --run hf://{repo} --data photos/ --method likelihood,lid --out scores.parquet\n```\n",
        name = run.name(),
        version = env!("CARGO_PKG_VERSION"),
    )
}

/// The losses after an epoch, as a table.
fn losses(epoch: &serde_json::Value) -> String {
    let number = |key: &str| epoch[key].as_f64().map_or("-".to_owned(), |v| format!("{v:.4}"));
    let n = epoch["epoch"].as_u64().map_or("-".to_owned(), |n| n.to_string());
    let line = |name: &str, key: &str| {
        let [train, valid] = ["train", "valid"].map(|on| number(&format!("{on}_{key}")));
        format!("| {name} | {train} | {valid} |\n")
    };
    format!(
        "| after epoch {n} | training | validation |\n| --- | --- | --- |\n{}{}\n",
        line("loss, nats", "loss"),
        line("bits per dimension", "bits_per_dimension")
    )
}

#[cfg(test)]
mod tests {
    use super::{super::write_atomic, *};
    use atypical_hub::loopback::{COMMIT, Loopback, TOKEN};
    use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

    fn card_of(model: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(folder.path(), "a").unwrap();
        let text = format!("{{data: {{train: mnist:train}}, model: {model}}}");
        let config = Loaded::<TrainConfig>::text(&text, &[]).unwrap().config;
        card(&run, &config, "me/a", false)
    }

    #[test]
    fn a_card_says_where_a_model_is_from() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(folder.path(), "a").unwrap();
        let text = "{data: {train: mnist:train}, model: {name: glow}}";
        let config = Loaded::<TrainConfig>::text(text, &[]).unwrap().config;
        let card = || super::card(&run, &config, "me/a", false);
        assert!(card().contains("trained on `mnist:train` with atypical"), "{}", card());
        std::fs::write(run.root().join(ORIGIN), "{}").unwrap();
        let imported = card();
        assert!(imported.contains("in PyTorch and imported by atypical"), "{imported}");
        assert!(!imported.contains("| after epoch"), "{imported}");
        let log = "{\"epoch\": 3, \"train_loss\": 1.5, \"valid_loss\": 2.0}\n";
        std::fs::write(run.metrics_log(), log).unwrap();
        assert!(card().contains("| after epoch 3 |") && card().contains("| 1.5000 | 2.0000 |"));
    }

    #[test]
    fn a_card_says_what_the_model_is() {
        let flow = card_of("{name: glow, shape: [1, 8, 8]}");
        assert!(
            flow.contains("- normalizing-flow\n") && flow.contains("A normalizing flow (`glow`)")
        );
        assert!(flow.contains("atypical doctor --run hf://me/a --data mnist:train\n"), "{flow}");
        let vae = card_of("{name: vae, shape: [1, 8, 8], latent: 3}");
        assert!(vae.contains("- variational-autoencoder\n"), "{vae}");
        assert!(!vae.contains("flow") && !vae.contains("doctor"), "{vae}");
    }

    const WEIGHTS: &[u8] = b"weights";

    /// A run with a configuration and weights, as training leaves it.
    fn trained(folder: &Path) -> RunDir {
        let run = RunDir::create(folder, "moons").unwrap();
        let config =
            Loaded::<TrainConfig>::text(include_str!("../../configs/train/two_moons.yaml"), &[]);
        write_atomic(&run.config(), config.unwrap().yaml().unwrap().as_bytes()).unwrap();
        write_atomic(&run.metrics_log(), b"{\"epoch\":3,\"valid_loss\":1.25}\n").unwrap();
        write_atomic(&run.samples(3), b"picture").unwrap();
        run
    }

    #[test]
    fn a_trained_run_goes_up_with_a_card_and_comes_back_as_a_run() {
        let (server, cache) = (Loopback::start(), tempfile::tempdir().unwrap());
        let model_dir = tempfile::tempdir().unwrap();
        let run = trained(model_dir.path());
        let hub = server.hub(cache.path(), Some(TOKEN), false);
        let message = run.publish(&hub, "owner/run", false).unwrap_err().to_string();
        assert!(message.contains("moons has no weights yet"), "{message}");
        write_atomic(&run.best_model(), WEIGHTS).unwrap();
        run.publish(&hub, "owner/run", false).unwrap();
        let commit = server.commit();
        let paths: Vec<&str> =
            commit.iter().filter_map(|line| line["value"]["path"].as_str()).collect();
        for file in
            ["README.md", "config.yaml", "metrics.jsonl", "model/best.safetensors", "samples.png"]
        {
            assert!(paths.contains(&file), "{paths:?}");
        }
        let card = commit.iter().find(|line| line["value"]["path"] == "README.md").unwrap();
        let card = BASE64.decode(card["value"]["content"].as_str().unwrap()).unwrap();
        let card = String::from_utf8(card).unwrap();
        for part in [
            "library_name: atypical",
            "`rq_nsf_vector`",
            "toy:two-moons",
            "1.2500",
            "--run hf://owner/run",
        ] {
            assert!(card.contains(part), "{card}");
        }

        server.run(WEIGHTS);
        let back = RunDir::published(&hub, "owner/run", model_dir.path(), &|_, _| {}).unwrap();
        assert_eq!(back.root(), model_dir.path().join("hf/owner/run"));
        assert_eq!(std::fs::read(back.weights()).unwrap(), WEIGHTS);
        // What is measured there stays with it: the cache of the hub is not written to.
        write_atomic(&back.cache(), b"measured").unwrap();
        let again =
            RunDir::published(&hub, &format!("owner/run@{COMMIT}"), model_dir.path(), &|_, _| {})
                .unwrap();
        assert_ne!(again, back);
        RunDir::published(&hub, "owner/run", model_dir.path(), &|_, _| {}).unwrap();
        assert!(back.cache().exists());
    }
}
