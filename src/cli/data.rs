//! `data`.

use super::{CliError, Common, load, print, print_json, print_table};
use crate::{
    config::Environment,
    data::{DATASETS, Dataset, Images, Kind, Split},
    hub::Hub,
    report::grid_png,
    run::write_atomic,
    with_backend,
};
use clap::{Args, Subcommand};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// Pictures of a contact sheet.
const SHEET: usize = 64;

/// List the data sets known by name, look at one, or download it.
#[derive(Debug, Args)]
pub struct Data {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Debug, Subcommand)]
enum DataCommand {
    /// List the data sets known by name
    #[command(after_help = "\
Examples:
  atypical data list
  atypical data list --json | jq -r '.[] | select(.shape == [1, 28, 28]) | .name'")]
    List,
    /// Say what a set is, where it is read from, and what is there; or describe the images of a SPEC
    #[command(after_help = "\
Examples:
  atypical data info cifar10
  atypical data info fashion-mnist:test --sheet fashion.png
  atypical data info photos/@size=32 --sheet photos.png")]
    Info {
        /// A name (mnist), or a SPEC (mnist:test, photos.parquet, photos/)
        what: String,
        /// Write some of the images as one PNG
        #[arg(long, value_name = "FILE.png")]
        sheet: Option<PathBuf>,
    },
    /// Download a set from the Hugging Face hub
    #[command(after_help = "\
Examples:
  atypical data fetch mnist
  HF_HUB_CACHE=/scratch/hub atypical data fetch cifar10

`data list` says which sets are on the hub; celeba is of 11.7 GB there. Files go into the hub's cache (HF_HUB_CACHE, HF_HOME), which Python shares, and are
read from there where DATA_DIR does not have the set. HF_TOKEN and HF_ENDPOINT are respected; a download that is cut off goes on where it was.")]
    Fetch {
        /// Names of sets
        #[arg(required = true)]
        names: Vec<String>,
        /// Download nothing: say what is missing
        #[arg(long)]
        offline: bool,
    },
}

impl Data {
    pub fn run(&self, common: &Common) -> Result<(), CliError> {
        let environment = Environment::read()?;
        match &self.command {
            DataCommand::List => list(common, &environment),
            DataCommand::Info { what, sheet } => match DATASETS.iter().find(|set| set.name == what)
            {
                Some(set) if sheet.is_none() => about(common, &environment, set),
                Some(set) => {
                    let split = set.splits[0].name;
                    Err(CliError::Other(format!(
                        "say of which split the sheet is to be: {what}:{split}"
                    )))
                }
                None => {
                    let images = with_backend!(common.backend()?, common.device, |B, device| {
                        load::load::<B>(
                            common,
                            what,
                            &environment,
                            (common.seed.unwrap_or(0), true),
                            &device,
                        )
                    })?;
                    describe(common, &images, sheet.as_deref())
                }
            },
            DataCommand::Fetch { names, offline } => fetch(common, names, *offline),
        }
    }
}

fn list(common: &Common, environment: &Environment) -> Result<(), CliError> {
    if common.json {
        let sets: Vec<_> = DATASETS.iter().map(|set| value(set, environment)).collect();
        return print_json(&sets);
    }
    let header = ["name", "shape", "classes", "splits (images)", "here", "what it shows"];
    let mut lines = vec![header.map(String::from).to_vec()];
    for set in DATASETS {
        let [c, h, w] = set.shape;
        let splits: Vec<String> = set
            .splits
            .iter()
            .map(|split| {
                split.images.map_or(split.name.to_owned(), |n| format!("{} {n}", split.name))
            })
            .collect();
        let here: Vec<String> =
            set.splits.iter().filter_map(|split| here(set, split, environment)).collect();
        let here = match here.len() {
            0 if set.hub.is_empty() => "-".to_owned(),
            0 => "on the hub".to_owned(),
            _ => here.join(", "),
        };
        lines.push(vec![
            set.name.to_owned(),
            format!("{c}x{h}x{w}"),
            classes(set),
            splits.join(", "),
            here,
            set.title.to_owned(),
        ]);
    }
    print_table(&lines)
}

/// A split that is here, with the number of its images where that is another than the published one.
fn here(set: &Dataset, split: &Split, environment: &Environment) -> Option<String> {
    let data_dir = &environment.data_dir;
    if !set.is_there(split.name, data_dir) {
        return None;
    }
    Some(match set.count(split.name, data_dir) {
        Ok(Some(n)) if split.images.is_some_and(|published| published != n) => {
            format!("{} (only {n})", split.name)
        }
        Ok(_) => split.name.to_owned(),
        Err(_) => format!("{} (damaged)", split.name),
    })
}

/// Number of classes, where there are any.
fn classes(set: &Dataset) -> String {
    if set.classes == 0 { "-".to_owned() } else { set.classes.to_string() }
}

fn value(set: &Dataset, environment: &Environment) -> serde_json::Value {
    let splits: serde_json::Map<_, _> = set
        .splits
        .iter()
        .map(|split| {
            let of = serde_json::json!({"images": split.images, "here": set.is_there(split.name, &environment.data_dir), "hub": set.on_hub(split.name).next().map(|file| file.repository)});
            (split.name.to_owned(), of)
        })
        .collect();
    serde_json::json!({
        "name": set.name, "title": set.title, "shape": set.shape, "classes": set.classes, "licence": set.licence, "citation": set.citation,
        "files": set.files, "splits": splits,
    })
}

fn about(common: &Common, environment: &Environment, set: &Dataset) -> Result<(), CliError> {
    let data_dir = &environment.data_dir;
    let found = |split: &str| set.is_there(split, data_dir).then(|| set.count(split, data_dir));
    if common.json {
        let mut value = value(set, environment);
        for split in set.splits {
            let of = &mut value["splits"][split.name];
            match found(split.name) {
                Some(Ok(images)) => of["found"] = images.into(),
                Some(Err(error)) => of["problem"] = error.to_string().into(),
                None => {}
            }
        }
        return print_json(&value);
    }
    let [c, h, w] = set.shape;
    let mut text = format!(
        "{}: {}\nshape      {c} x {h} x {w} (channels, height, width)\nclasses    {}\nlicence    {}\ncite       {}\nread from  {}/{}/: {}",
        set.name,
        set.title,
        classes(set),
        set.licence,
        set.citation,
        data_dir.display(),
        set.folder(),
        set.files
    );
    for split in set.splits {
        let images = split
            .images
            .map_or("as many as its file has".into(), |n| format!("{n} images as published"));
        let here = match (found(split.name), set.on_hub(split.name).next()) {
            (Some(Ok(Some(n))), _) if split.images.is_some_and(|published| published != n) => {
                format!("but {n} here")
            }
            (Some(Ok(Some(n))), _) => format!("{n} here"),
            (Some(Ok(None)), _) => "here (how many is not in its headers)".to_owned(),
            (Some(Err(error)), _) => format!("here, but {error}"),
            (None, Some(file)) => format!(
                "not here; on the hub ({}): atypical data fetch {}",
                file.repository, set.name
            ),
            (None, None) => "not here".to_owned(),
        };
        text.push_str(&format!("\n{:10} {images}, {here}", split.name));
    }
    print(text)
}

fn describe(
    common: &Common,
    images: &Images,
    sheet: Option<&std::path::Path>,
) -> Result<(), CliError> {
    if images.kind == Kind::Vectors {
        return describe_vectors(common, images, sheet);
    }
    if let Some(path) = sheet {
        if path.extension().is_none_or(|end| !end.eq_ignore_ascii_case("png")) {
            let problem =
                format!("--sheet {} is a PNG, and its name ends so: sheet.png", path.display());
            return Err(CliError::Other(problem));
        }
        let some = images.take(SHEET);
        write_atomic(path, &grid_png(&some.bytes()?, some.shape))?;
    }
    let classes = labels(images);
    let mut sum = 0;
    for i in 0..images.len() {
        sum += images.sample(i)?.iter().map(|p| u64::from(*p)).sum::<u64>();
    }
    let mean = sum as f64 / images.pixels.len() as f64;
    let digest = images.digest()?;
    if common.json {
        return print_json(&serde_json::json!({
            "name": images.name, "images": images.len(), "shape": images.shape, "classes": classes, "mean": mean, "digest": digest, "left_out": images.left_out,
        }));
    }
    let [c, h, w] = images.shape;
    print(format_args!(
        "{}: {} images of {c} x {h} x {w} (channels, height, width), {}, mean pixel {mean:.1}, digest {digest}{}",
        images.name,
        images.len(),
        in_words(classes),
        left_out(images)
    ))
}

/// Number of different labels; none where there are no labels.
fn labels(images: &Images) -> Option<usize> {
    Some(images.labels.as_ref()?.iter().collect::<BTreeSet<_>>().len())
}

fn in_words(classes: Option<usize>) -> String {
    classes.map_or("no labels".to_owned(), |n| format!("{n} classes"))
}

/// A line on columns, arrays and files that were not taken.
fn left_out(images: &Images) -> String {
    match images.left_out.as_slice() {
        [] => String::new(),
        names => format!("\nleft out: {}", names.join(", ")),
    }
}

/// Vectors have numbers to tell, but nothing to see.
fn describe_vectors(
    common: &Common,
    vectors: &Images,
    sheet: Option<&std::path::Path>,
) -> Result<(), CliError> {
    if sheet.is_some() {
        return Err(CliError::Other(format!(
            "`{}` holds vectors, which make no sheet of pictures",
            vectors.name
        )));
    }
    let (n, dimension) = (vectors.len(), vectors.dimension());
    let digest = vectors.digest()?;
    let ends = vectors.ends()?;
    let low = ends.iter().map(|[low, _]| *low).fold(f32::INFINITY, f32::min);
    let high = ends.iter().map(|[_, high]| *high).fold(f32::NEG_INFINITY, f32::max);
    if common.json {
        return print_json(&serde_json::json!({
            "name": vectors.name, "vectors": n, "dimension": dimension, "low": low, "high": high, "classes": labels(vectors), "digest": digest, "left_out": vectors.left_out,
        }));
    }
    print(format_args!(
        "{}: {n} vectors of {dimension} numbers from {low:.3} to {high:.3}, {}, digest {digest}{}",
        vectors.name,
        in_words(labels(vectors)),
        left_out(vectors)
    ))
}

fn fetch(common: &Common, names: &[String], offline: bool) -> Result<(), CliError> {
    let hub = Hub::from_environment(offline)?;
    let known: Vec<&str> =
        DATASETS.iter().filter(|set| !set.hub.is_empty()).map(|set| set.name).collect();
    if let Some((set, _)) = names.iter().find_map(|name| name.split_once(':')) {
        return Err(CliError::Other(format!(
            "a set comes with all of its splits: atypical data fetch {set}"
        )));
    }
    let mut paths: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in names {
        let set = DATASETS.iter().find(|set| set.name == name).ok_or_else(|| {
            let guess = crate::data::did_you_mean(name, &known);
            let known = known.join(", ");
            CliError::Other(format!(
                "`{name}` is no set that can be downloaded; {guess}there are {known}"
            ))
        })?;
        if set.hub.is_empty() {
            return Err(CliError::Other(format!(
                "`{name}` is on no hub that is known here: it is read from its original files, {}, which its authors give out ({}); put them into {}/ under DATA_DIR",
                set.files,
                set.citation,
                set.folder()
            )));
        }
        for file in set.hub {
            let spec = format!("{name}:{}", file.split);
            let path = load::shown(common, &spec, |progress| set.fetch(file, &hub, progress))?;
            if !common.json && !common.quiet {
                print(format_args!("{spec}: {}", path.display()))?;
            }
            paths.entry(spec).or_default().push(path.display().to_string());
        }
    }
    if common.json { print_json(&paths) } else { Ok(()) }
}
