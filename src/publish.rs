//! Runs as repositories of the Hugging Face hub: what is published of them, and how they come back.

use crate::{
    config::{ConfigError, Loaded, OodConfig, TrainConfig},
    eval::CONVENTION,
    hub::{Content, Hub, HubError},
    report,
    run::{ORIGIN, RunDir, RunError},
    track::History,
    train::Outcome,
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
    /// The configuration of the run or of an experiment.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A run without weights.
    #[error("the run {0} has no weights yet: train it first, or import them")]
    NoWeights(PathBuf),
    /// An experiment of other runs.
    #[error(
        "the experiment {experiment} is of {runs}, not of {run}: its numbers are of another model"
    )]
    OtherRun {
        /// The experiment.
        experiment: PathBuf,
        /// The runs that it is of.
        runs: String,
        /// The run that is published.
        run: String,
    },
}

/// The run that is published as `repo`, at a revision where one is named (`org/name@v1`): copied to `hf/org/name` under `model_dir`, once for each commit.
///
/// # Errors
/// As [`Hub::run`]; a folder that cannot be written.
pub fn fetch(
    hub: &Hub,
    repo: &str,
    model_dir: &Path,
    progress: &dyn Fn(u64, u64),
) -> Result<RunDir, PublishError> {
    let (name, revision) = repo.split_once('@').map_or((repo, None), |(n, r)| (n, Some(r)));
    let snapshot = hub.run(name, revision, progress)?;
    let commit = snapshot.file_name().map(|c| c.to_string_lossy().into_owned());
    let place = format!("{FOLDER}/{repo}");
    Ok(RunDir::copied(model_dir, &place, &snapshot, &commit.unwrap_or_default())?)
}

/// Publish a run's weights, configuration, log and figures, and what experiments (folders of `ood`) found with it, with a card that shows all of it; returns the
/// commit's URL.
///
/// # Errors
/// A run without weights, an experiment of other runs; as [`Hub::push`].
pub fn push(
    hub: &Hub,
    run: &RunDir,
    experiments: &[RunDir],
    repo: &str,
    private: bool,
) -> Result<String, PublishError> {
    if !run.weights().exists() {
        return Err(PublishError::NoWeights(run.root().to_path_buf()));
    }
    let config = Loaded::<TrainConfig>::file(&run.config())?.config;
    let found = experiments.iter().map(|experiment| Found::new(run, experiment));
    let found = found.collect::<Result<Vec<_>, _>>()?;
    let mut files = vec![
        // Under the name of the best, as which it is read, though it may be the latest.
        ("model/best.safetensors".to_owned(), run.weights()),
        ("config.yaml".to_owned(), run.config()),
        ("metrics.jsonl".to_owned(), run.metrics_log()),
        (ORIGIN.to_owned(), run.root().join(ORIGIN)),
        (LEARNING.to_owned(), run.figures().join(LEARNING)),
    ];
    files.extend(run.last_samples().map(|path| (SAMPLES.to_owned(), path)));
    files.retain(|(_, path)| path.exists());
    files.extend(found.iter().flat_map(Found::files));
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let card = card(run, &config, repo, &names, &found)?;
    let files: Vec<(String, Content)> = files
        .into_iter()
        .map(|(name, path)| (name, Content::File(path)))
        .chain([("README.md".to_owned(), Content::Bytes(card.into()))])
        .collect();
    Ok(hub.push(repo, private, &files, &format!("Run {}", run.name()))?)
}

/// The learning curve, in a run's figures and in its repository.
const LEARNING: &str = "learning.png";
/// Samples of the model, in its repository.
const SAMPLES: &str = "samples.png";

/// What an experiment found.
struct Found {
    root: RunDir,
    /// AUROC of every method on every pair, in Markdown.
    matrix: String,
    /// Figures of the run in question.
    figures: Vec<PathBuf>,
}

impl Found {
    fn new(run: &RunDir, experiment: &RunDir) -> Result<Self, PublishError> {
        let config = Loaded::<OodConfig>::file(&experiment.config())?.config;
        let names: Vec<String> = config.each_run().into_iter().map(|one| one.run).collect();
        let is_it = |name: &String| name.rsplit('/').next() == Some(&*run.name());
        if !names.iter().any(is_it) {
            let experiment = experiment.root().to_path_buf();
            let (runs, run) = (names.join(", "), run.name());
            return Err(PublishError::OtherRun { experiment, runs, run });
        }
        let path = experiment.root().join("matrix.md");
        let matrix = std::fs::read_to_string(&path)
            .map_err(|source| RunError::Read { path: path.clone(), source })?;
        let folder = experiment.figures();
        let files = std::fs::read_dir(&folder)
            .map_err(|source| RunError::Read { path: folder.clone(), source })?;
        let own = format!("{}_", report::file_name(&run.name()));
        let is_own = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.ends_with(".png") && (names.len() == 1 || name.starts_with(&own))
        };
        let files = files.filter_map(|file| Some(file.ok()?.path()));
        let mut figures: Vec<PathBuf> = files.filter(is_own).collect();
        figures.sort();
        Ok(Self { root: experiment.clone(), matrix, figures })
    }

    /// Its folder in the repository.
    fn place(&self) -> String {
        format!("ood/{}", self.root.name())
    }

    /// Its files, by their names in the repository.
    fn files(&self) -> Vec<(String, PathBuf)> {
        let place = self.place();
        let name =
            |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let root = self.root.root();
        let whole = [root.join("table.csv"), self.root.report()];
        let files = self.figures.iter().cloned().chain(whole.into_iter().filter(|f| f.exists()));
        files.map(|path| (format!("{place}/{}", name(&path)), path)).collect()
    }

    /// What the card says of it.
    fn section(&self) -> String {
        let place = self.place();
        let mut text = format!(
            "## Out-of-distribution detection\n\n{}\n({CONVENTION}; brackets: bootstrap intervals.) The [report]({place}/report.html) and the [table]({place}/table.csv) have more.\n",
            self.matrix.trim_end()
        );
        for (name, _) in self.files().iter().filter(|(name, _)| name.ends_with(".png")) {
            let (_, file) = name.rsplit_once('/').unwrap_or(("", name));
            let title = file.trim_end_matches(".png").replace('_', " ");
            text.push_str(&format!("\n![{title}]({name})\n"));
        }
        text
    }
}

/// The card of a run: what the hub shows on its page. `files` are those of the repository.
fn card(
    run: &RunDir,
    config: &TrainConfig,
    repo: &str,
    files: &[&str],
    found: &[Found],
) -> Result<String, RunError> {
    let how = match files.contains(&ORIGIN) {
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
    let pictures: String = [(SAMPLES, "samples of the model"), (LEARNING, "learning curve")]
        .iter()
        .filter(|(file, _)| files.contains(file))
        .map(|(file, title)| format!("\n![{title}]({file})\n"))
        .collect();
    let sections: Vec<String> = found.iter().map(Found::section).collect();
    Ok(format!(
        "---\nlibrary_name: atypical\ntags:\n- {tag}\n- density-estimation\n- out-of-distribution-detection\n---\n\n\
         # {name}\n\n{family} (`{kind}`) for data of shape {c} x {h} x {w}, trained on `{data}` {how} atypical {version}.\n{pictures}\n{losses}\
         ```console\n{doctor}$ atypical score --run hf://{repo} --data {yours} --method likelihood,lid --out scores.parquet\n```\n\n{sections}",
        name = run.name(),
        version = env!("CARGO_PKG_VERSION"),
        yours =
            if crate::train::is_vector(config.model.shape()) { "features.npz" } else { "photos/" },
        losses = losses(run)?,
        sections = sections.join("\n"),
    ))
}

/// The measures of the epoch whose weights are published, as a table.
fn losses(run: &RunDir) -> Result<String, RunError> {
    let history = History::read(run)?;
    let Some(last) = history.last_epoch() else { return Ok(String::new()) };
    // Of a training that goes on nothing is said yet.
    let epoch = Outcome::read(run).map_or(last, |outcome| outcome.best_epoch as u64);
    let value = |name: &str| {
        let point = history.series(name).into_iter().find(|point| point.epoch == epoch);
        point.map_or("-".to_owned(), |point| format!("{:.4}", point.value))
    };
    let lines: String = [
        ("loss, nats", "loss"),
        ("bits per dimension", "bits_per_dimension"),
        ("error of reconstruction", "reconstruction_error"),
    ]
    .iter()
    .map(|(title, key)| (title, ["train", "valid"].map(|on| value(&format!("{on}_{key}")))))
    .filter(|(_, values)| values.iter().any(|value| value != "-"))
    .map(|(title, [train, valid])| format!("| {title} | {train} | {valid} |\n"))
    .collect();
    Ok(format!(
        "| epoch {epoch} of {last} | training | validation |\n| --- | --- | --- |\n{lines}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::write_atomic;
    use atypical_hub::loopback::{COMMIT, Loopback, TOKEN};
    use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

    fn card_of(model: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(folder.path(), "a").unwrap();
        let text = format!("{{data: {{train: mnist:train}}, model: {model}}}");
        let config = Loaded::<TrainConfig>::text(&text, &[]).unwrap().config;
        card(&run, &config, "me/a", &[], &[]).unwrap()
    }

    #[test]
    fn a_card_says_where_a_model_is_from_and_how_good_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(folder.path(), "a").unwrap();
        let text = "{data: {train: mnist:train}, model: {name: glow}}";
        let config = Loaded::<TrainConfig>::text(text, &[]).unwrap().config;
        let card = |files: &[&str]| super::card(&run, &config, "me/a", files, &[]).unwrap();
        assert!(card(&[]).contains("trained on `mnist:train` with atypical"), "{}", card(&[]));
        let imported = card(&[ORIGIN, SAMPLES]);
        assert!(imported.contains("in PyTorch and imported by atypical"), "{imported}");
        assert!(imported.contains("(samples.png)") && !imported.contains(LEARNING), "{imported}");
        assert!(!imported.contains("| epoch"), "{imported}");
        let log = "{\"epoch\": 3, \"train_loss\": 1.5, \"valid_loss\": 2.0}\n{\"epoch\": 4, \"train_loss\": 0.5, \"valid_loss\": 2.5}\n";
        std::fs::write(run.metrics_log(), log).unwrap();
        assert!(card(&[]).contains("| epoch 4 of 4 |"), "{}", card(&[]));
        // The weights are those of the best epoch, not of the last one.
        let outcome = "{\"steps\": 8, \"epochs\": 4, \"best_loss\": 2.0, \"best_bits_per_dimension\": null, \"best_epoch\": 3, \"seconds\": 1.0, \"interrupted\": null}";
        std::fs::write(run.outcome(), outcome).unwrap();
        assert!(card(&[]).contains("| epoch 3 of 4 |"), "{}", card(&[]));
        assert!(card(&[]).contains("| loss, nats | 1.5000 | 2.0000 |"), "{}", card(&[]));
        assert!(!card(&[]).contains("bits per dimension"), "{}", card(&[]));
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
            Loaded::<TrainConfig>::text(include_str!("../configs/train/two_moons.yaml"), &[]);
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
        let message = push(&hub, &run, &[], "owner/run", false).unwrap_err().to_string();
        assert!(message.contains("moons has no weights yet"), "{message}");
        write_atomic(&run.best_model(), WEIGHTS).unwrap();
        let experiment = RunDir::create(model_dir.path(), "ood-moons").unwrap();
        let config = |run: &str| {
            format!(
                "{{run: {run}, in_distribution: a.npz, out_of_distribution: [b.npz], calibration: c.npz}}"
            )
        };
        std::fs::write(experiment.config(), config("suns")).unwrap();
        let of_others = push(&hub, &run, std::slice::from_ref(&experiment), "owner/run", false);
        let message = of_others.unwrap_err().to_string();
        assert!(message.contains("is of suns, not of moons"), "{message}");
        std::fs::write(experiment.config(), config("moons")).unwrap();
        let files = ["matrix.md", "table.csv", "report.html", "figures/roc.png", "figures/roc.svg"];
        for file in files {
            write_atomic(&experiment.root().join(file), b"| AUROC |\n").unwrap();
        }
        push(&hub, &run, &[experiment], "owner/run", false).unwrap();
        let commit = server.commit();
        let paths: Vec<&str> =
            commit.iter().filter_map(|line| line["value"]["path"].as_str()).collect();
        for file in [
            "README.md",
            "config.yaml",
            "metrics.jsonl",
            "model/best.safetensors",
            "samples.png",
            "ood/ood-moons/roc.png",
            "ood/ood-moons/report.html",
        ] {
            assert!(paths.contains(&file), "{paths:?}");
        }
        assert!(!paths.iter().any(|path| path.ends_with(".svg")), "{paths:?}");
        let card = commit.iter().find(|line| line["value"]["path"] == "README.md").unwrap();
        let card = BASE64.decode(card["value"]["content"].as_str().unwrap()).unwrap();
        let card = String::from_utf8(card).unwrap();
        for part in [
            "library_name: atypical",
            "`rq_nsf_vector`",
            "toy:two-moons",
            "1.2500",
            "--run hf://owner/run",
            "| AUROC |",
            "![roc](ood/ood-moons/roc.png)",
        ] {
            assert!(card.contains(part), "{card}");
        }

        server.run(WEIGHTS);
        let back = fetch(&hub, "owner/run", model_dir.path(), &|_, _| {}).unwrap();
        assert_eq!(back.root(), model_dir.path().join("hf/owner/run"));
        assert_eq!(std::fs::read(back.weights()).unwrap(), WEIGHTS);
        // What is measured there stays with it: the cache of the hub is not written to.
        write_atomic(&back.cache(), b"measured").unwrap();
        let again =
            fetch(&hub, &format!("owner/run@{COMMIT}"), model_dir.path(), &|_, _| {}).unwrap();
        assert_ne!(again, back);
        fetch(&hub, "owner/run", model_dir.path(), &|_, _| {}).unwrap();
        assert!(back.cache().exists());
    }
}
