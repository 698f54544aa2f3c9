//! SPEC: which data.

use super::{
    DATASETS, DataError, Dataset, Images, Prepare, demo, did_you_mean::did_you_mean, idx,
    manifold::Manifold, npz, parquet, picture, pixels, toy, vectors,
};
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Ends of the names of files of images.
const FILES: [&str; 7] = [".npz", ".parquet", ".csv", "-ubyte", "-ubyte.gz", ".idx", ".idx.gz"];

/// Points or pictures that are drawn where the SPEC has no end.
const DRAWN: usize = 10_000;

/// Values that are drawn at most: a gigabyte of numbers.
const MOST_DRAWN: usize = 1 << 28;

/// Seed of what is drawn by a SPEC: the same name, the same images.
const SEED: u64 = 0;

/// Which data: `name:split`, `demo:split`, a file (`x.npz`, `x.parquet`, an idx file of images) or a folder of pictures (`photos/`: PNG, JPEG, WebP), each with
/// options `@size=28,grey` ([`Prepare`]) and a slice `[a:b]`, `[a:]` or `[:b]`, both optional; `generated:RUN` are samples of a trained run, `toy:two-moons` and
/// `manifold:lollipop` synthetic points, `random:1x28x28` noise. Files of feature vectors (`x.csv`, `x.parquet`, `x.npz` with `features`) are data as well.
///
/// ```
/// use atypical_data::Spec;
/// let spec: Spec = "fashion-mnist:test[:1000]".parse().unwrap();
/// assert_eq!(spec.to_string(), "fashion-mnist:test[:1000]");
/// let spec: Spec = "photos/@size=28,grey[100:]".parse().unwrap();
/// assert_eq!(spec.prepare.size, Some([28, 28]));
/// assert!("fasion-mnist:test".parse::<Spec>().unwrap_err().to_string().contains("did you mean `fashion-mnist`"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Where the images are.
    pub source: Source,
    /// What is done to the images; before the slice is taken.
    pub prepare: Prepare,
    /// First sample and one past the last, where the SPEC says.
    pub slice: (Option<usize>, Option<usize>),
}

/// Where images are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A set known by name, and its split.
    Named(String, String),
    /// A file.
    File(PathBuf),
    /// A folder of pictures.
    Folder(PathBuf),
    /// Samples of a trained run, by its name or path.
    Generated(String),
    /// Points of a distribution in the plane, by its name.
    Toy(String),
    /// Points of a manifold of known intrinsic dimension, by its name.
    Manifold(String),
    /// Uniform noise of this shape.
    Random([usize; 3]),
}

impl FromStr for Spec {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let error = |problem: String| DataError::Spec { spec: text.to_owned(), problem };
        let (body, slice) = match text.strip_suffix(']').and_then(|t| t.rsplit_once('[')) {
            None => (text, (None, None)),
            Some((body, slice)) => {
                let bound = |text: &str| match text.trim() {
                    "" => Ok(None),
                    number => number.parse().map(Some).map_err(|_| {
                        error(format!(
                            "`{number}` in the slice is no number; write [a:b], [a:] or [:b]"
                        ))
                    }),
                };
                let (from, to) = slice
                    .split_once(':')
                    .ok_or_else(|| error("a slice is written [a:b], [a:] or [:b]".into()))?;
                (body, (bound(from)?, bound(to)?))
            }
        };
        // Files and folders may have `@` in their names, and a run of the hub a revision behind one.
        let is_file = |body: &str| {
            let body = body.to_ascii_lowercase();
            FILES.iter().any(|end| body.ends_with(end))
        };
        let is_name = is_file(body) || body.starts_with("generated:hf://");
        let (body, prepare) = match body.rsplit_once('@') {
            Some((body, options)) if !options.contains(['/', ':']) && !is_name => {
                (body, options.parse::<Prepare>().map_err(error)?)
            }
            _ => (body, Prepare::default()),
        };
        let spec = |source| Ok(Self { source, prepare: prepare.clone(), slice });
        if is_file(body) {
            return spec(Source::File(body.into()));
        }
        if let Some(run) = body.strip_prefix("generated:") {
            if run.is_empty() {
                return Err(error("say of which run: `generated:RUN`".into()));
            }
            return spec(Source::Generated(run.into()));
        }
        if let Some(name) = body.strip_prefix("toy:") {
            toy::check(name).map_err(error)?;
            return spec(Source::Toy(name.into()));
        }
        if let Some(name) = body.strip_prefix("manifold:") {
            Manifold::by_name(name).map_err(|problem| error(problem.to_string()))?;
            return spec(Source::Manifold(name.into()));
        }
        if let Some(shape) = body.strip_prefix("random:") {
            let sides: Option<Vec<usize>> =
                shape.split('x').map(|side| side.parse().ok()).collect();
            return match sides.as_deref() {
                Some(&[c @ (1 | 3), h @ 1..=4096, w @ 1..=4096]) => spec(Source::Random([c, h, w])),
                _ => Err(error(format!(
                    "`{shape}` is no shape of pictures; write channels, height and width: random:1x28x28"
                ))),
            };
        }
        if body.ends_with('/') {
            return spec(Source::Folder(body.into()));
        }
        let (name, split) = match body.split_once(':') {
            Some((name, split)) => (name, Some(split)),
            None => (body, None),
        };
        let splits_of = |set: &Dataset| set.splits.iter().map(|split| split.name).collect();
        let known: Vec<(&str, Vec<&str>)> = std::iter::once(("demo", demo::SPLITS.to_vec()))
            .chain(DATASETS.iter().map(|set| (set.name, splits_of(set))))
            .collect();
        let Some((_, splits)) = known.iter().find(|k| k.0 == name) else {
            let names: Vec<&str> = known.iter().map(|k| k.0).collect();
            let path = Path::new(body);
            let picture = [".png", ".jpg", ".jpeg", ".webp"].iter().any(|end| body.ends_with(end));
            let guess = if path.is_dir() {
                format!("did you mean the folder `{body}/`? ")
            } else if body.contains("[") || body.contains("]@") {
                "the slice comes last, behind the options: photos/@size=28[:100]. ".to_owned()
            } else if body.ends_with(".npy") {
                "an .npy file is read from an archive that says what it is: np.savez(\"x.npz\", images=pictures) or np.savez(\"x.npz\", features=vectors). ".to_owned()
            } else if path.is_file() && picture {
                "a single picture is data in a folder of its own: name the folder, with a / at the end. ".to_owned()
            } else if path.is_file() {
                format!("`{body}` is a file, but no .npz, .parquet, .csv or idx file. ")
            } else {
                did_you_mean(&name.to_lowercase(), &names)
            };
            return Err(error(format!(
                "no data set is called `{name}`; {guess}Data are a set's name and split (`atypical data list` has {} of them), a file (.npz, .parquet, .csv or idx), a folder of \
                 pictures (its name ends in /), generated:RUN, toy:NAME, manifold:NAME or random:1x28x28",
                DATASETS.len()
            )));
        };
        match split {
            Some(split) if splits.contains(&split) => {
                spec(Source::Named(name.into(), split.into()))
            }
            Some(split) => {
                Err(error(format!("`{name}` has no split `{split}`; it has {}", splits.join(", "))))
            }
            None => Err(error(format!(
                "say which split: {}",
                splits.iter().map(|s| format!("`{name}:{s}`")).collect::<Vec<_>>().join(" or ")
            ))),
        }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Named(name, split) => write!(f, "{name}:{split}")?,
            Source::Generated(run) => write!(f, "generated:{run}")?,
            Source::Toy(name) => write!(f, "toy:{name}")?,
            Source::Manifold(name) => write!(f, "manifold:{name}")?,
            Source::Random([c, h, w]) => write!(f, "random:{c}x{h}x{w}")?,
            Source::File(path) | Source::Folder(path) => write!(f, "{}", path.display())?,
        }
        if self.prepare != Prepare::default() {
            write!(f, "@{}", self.prepare)?;
        }
        let bound = |b: Option<usize>| b.map_or(String::new(), |b| b.to_string());
        match self.slice {
            (None, None) => Ok(()),
            (from, to) => write!(f, "[{}:{}]", bound(from), bound(to)),
        }
    }
}

impl Spec {
    /// Read the images. Where those of a parquet file are more than `DATA_MEMORY`, an environment variable (`512MiB`; 2 GiB where it is not set), they are decoded once, to a temporary file
    /// (`TMPDIR`), and every sample is read from there.
    ///
    /// # Errors
    /// Files that are missing or damaged, a slice outside the set or empty; samples of a run, which are not read but drawn; a `DATA_MEMORY` that is no number of bytes, a temporary file that
    /// cannot be written.
    pub fn load(&self, data_dir: &Path) -> Result<Images, DataError> {
        self.load_within(data_dir, pixels::memory(std::env::var_os("DATA_MEMORY").as_deref())?)
    }

    /// [`load`](Self::load) with the bound in bytes given.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_within(&self, data_dir: &Path, memory: u64) -> Result<Images, DataError> {
        let unknown = |name: &str| DataError::Spec {
            spec: self.to_string(),
            problem: format!("no data set is called `{name}`"),
        };
        let images = match &self.source {
            Source::Named(name, split) if name == "demo" => demo::load(split)?,
            Source::Named(name, split) => {
                let dataset = DATASETS.iter().find(|d| d.name == name);
                let dataset = dataset.ok_or_else(|| unknown(name))?;
                dataset.load(split, data_dir, memory)?
            }
            Source::File(path) => {
                let end = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
                match end.to_ascii_lowercase().as_str() {
                    "npz" => npz::load(path, None)?,
                    "parquet" => return self.parquet(std::slice::from_ref(path), memory),
                    "csv" => vectors::load(std::slice::from_ref(path))?,
                    _ => idx::load(path, None)?,
                }
            }
            Source::Toy(name) => {
                toy::sample(name, self.drawn(DRAWN, 2)?, SEED).ok_or_else(|| unknown(name))?
            }
            Source::Manifold(name) => {
                let manifold = Manifold::by_name(name)?;
                let points = manifold.sample(self.drawn(DRAWN, manifold.dimension)?, SEED);
                // Its label is the true dimension at a point.
                let dimensions = points.lid.iter().map(|&d| d.round() as i64).collect();
                let values: Vec<f32> = points.values.iter().map(|&v| v as f32).collect();
                Images::of_vectors(self.to_string(), points.dimension, &values, Some(dimensions))
            }
            Source::Random(shape) => {
                Images::random(self.drawn(DRAWN, shape.iter().product())?, *shape, SEED)
            }
            // Pictures of many sizes become one size before they are put together.
            Source::Folder(path) => {
                let (shards, left_out) = picture::shards(path)?;
                if !shards.is_empty() {
                    let mut images = self.parquet(&shards, memory)?;
                    images.left_out.extend(left_out);
                    return Ok(images);
                }
                return self.cut(self.prepare.part(picture::load_folder(path, &self.prepare)?));
            }
            Source::Generated(_) => {
                return Err(DataError::Spec {
                    spec: self.to_string(),
                    problem: "samples of a run are for `ood` and `score`; elsewhere write them to a file first: atypical sample --run … --out samples.npz"
                        .into(),
                });
            }
        };
        self.prepared(images)
    }

    /// What this SPEC makes of the images of its source: prepared as its options say, cut to its slice, under its name.
    ///
    /// # Errors
    /// Options that these images do not take, a slice outside the set or empty.
    pub fn prepared(&self, images: Images) -> Result<Images, DataError> {
        self.cut(self.prepare.images(images)?)
    }

    /// How many samples of `dimension` values are drawn where the source has no end: `usual`, or as many as the slice needs, of which the first are the same.
    ///
    /// # Errors
    /// More than there is memory for.
    pub fn drawn(&self, usual: usize, dimension: usize) -> Result<usize, DataError> {
        let n = match (self.prepare.part, self.slice.1) {
            (None, Some(end)) => end,
            // A part is one of the usual number, wherever the slice ends.
            _ => usual,
        };
        match n.checked_mul(dimension) {
            Some(values) if values <= MOST_DRAWN => Ok(n),
            _ => Err(DataError::Spec {
                spec: self.to_string(),
                problem: format!(
                    "{n} samples of {dimension} values each are more than the {MOST_DRAWN} values that are drawn at most; ask for a slice, [:1000]"
                ),
            }),
        }
    }

    /// Of parquet files of pictures only the slice is read, and no more of it than `memory` bytes is in memory.
    fn parquet(&self, paths: &[PathBuf], memory: u64) -> Result<Images, DataError> {
        // The first tells of what kind all are.
        if let Some(first) = paths.first()
            && !parquet::has_pictures(first)?
        {
            return self.prepared(vectors::load(paths)?);
        }
        let load = |slice| parquet::load(paths, slice, &self.prepare, memory);
        if self.prepare.part.is_some() {
            return self.cut(self.prepare.part(load((None, None))?));
        }
        let rows = paths.iter().map(|path| parquet::rows(path));
        self.check_slice(rows.sum::<Result<usize, _>>()?)?;
        Ok(Images { name: self.to_string(), ..load(self.slice)? })
    }

    /// The slice of images that this SPEC names, under its name.
    ///
    /// # Errors
    /// A slice outside the set or empty.
    pub fn cut(&self, mut images: Images) -> Result<Images, DataError> {
        let (from, to) = self.check_slice(images.len())?;
        if (from, to) != (0, images.len()) {
            images = images.select(&(from..to).collect::<Vec<_>>());
        }
        images.name = self.to_string();
        Ok(images)
    }

    /// Where the slice begins and ends in a set of `len` images.
    fn check_slice(&self, len: usize) -> Result<(usize, usize), DataError> {
        let (from, to) = (self.slice.0.unwrap_or(0), self.slice.1.unwrap_or(len));
        if from >= to && self.slice.1.is_some() {
            return Err(DataError::EmptySlice { spec: self.to_string() });
        }
        if from >= to || to > len {
            return Err(DataError::Slice { spec: self.to_string(), from, to, len });
        }
        Ok((from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        text.parse::<Spec>().unwrap_err().to_string()
    }

    #[test]
    fn specs_round_trip() {
        for text in [
            "mnist:test",
            "cifar10:train[10:20]",
            "demo:ood[5:]",
            "a/b.npz[:7]",
            "x-idx3-ubyte.gz",
            "a/photos/[:3]",
            "generated:a/run[:50]",
            "x.parquet[3:]",
            "x.csv",
            "X.NPZ",
            "toy:two-moons[:500]",
            "manifold:lollipop",
            "random:3x32x32[:10]",
            "photos@home/",
            "x@2x.npz",
            "generated:hf://org/name@v1[:10]",
            "photos@home/@crop=20,size=28x32,grey[:3]",
            "mnist:test@first=0.5,seed=3",
        ] {
            assert_eq!(text.parse::<Spec>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn mistakes_are_explained() {
        assert!(error("fashon-mnist:test").contains("did you mean `fashion-mnist`?"));
        assert!(error("mnist").contains("`mnist:train` or `mnist:test`"));
        assert!(
            error("svhn:valid").contains("`svhn` has no split `valid`; it has train, test, extra")
        );
        assert!(error("toy:two-mons").contains("did you mean `two-moons`?"));
        assert!(error("manifold:lolipop").contains("lollipop"));
        assert!(error("random:28x28").contains("random:1x28x28"));
        assert!(error("Fashion-MNIST:test").contains("did you mean `fashion-mnist`?"));
        assert!(error("photos/[:3]@size=32").contains("the slice comes last"));
        assert!(error("photos/@sise=3").contains("did you mean `size`?"));
        assert!(error("mnist:test[a:3]").contains("`a` in the slice is no number"));
        assert!(error("mnist:test[3]").contains("a slice is written [a:b]"));
        assert!(error("a/x.npy[:3]").contains("np.savez(\"x.npz\", images=pictures)"));
    }

    #[test]
    fn what_is_drawn_has_a_bound_and_parts_that_do_not_depend_on_the_slice() {
        let load = |text: &str| text.parse::<Spec>().unwrap().load(Path::new("nowhere"));
        for text in ["toy:sine[:99999999999999]", "random:3x4096x4096"] {
            assert!(load(text).unwrap_err().to_string().contains("ask for a slice"), "{text}");
        }
        let part = load("toy:sine@first=0.8[:500]").unwrap();
        assert_eq!(part.len(), 500);
        let shorter = load("toy:sine@first=0.8[:100]").unwrap();
        assert_eq!(part.sample(0).unwrap(), shorter.sample(0).unwrap());
        assert_eq!(load("toy:sine@first=0.8").unwrap().len(), 8000);
    }

    #[test]
    fn slices_stay_inside() {
        let load = |text: &str| text.parse::<Spec>().unwrap().load(Path::new("nowhere"));
        let images = load("demo:test[10:13]").unwrap();
        assert_eq!((images.len(), images.name.as_str()), (3, "demo:test[10:13]"));
        let whole = load("demo:test").unwrap();
        assert_eq!(images.sample(0).unwrap(), whole.sample(10).unwrap());
        assert!(
            load("demo:test[:501]")
                .unwrap_err()
                .to_string()
                .contains("0..501, but the set has 500")
        );
        let error = |text: &str| load(text).unwrap_err().to_string();
        assert!(error("demo:test[7:7]").contains("asks for no sample"));
        assert!(error("demo:test[500:]").contains("500..500, but the set has 500"));
    }

    #[test]
    fn names_of_files_are_known_in_whatever_case() {
        let dir = tempfile::tempdir().unwrap();
        let load = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let spec: Spec = path.display().to_string().parse().unwrap();
            spec.load(Path::new("")).unwrap()
        };
        assert_eq!(load("G.NPZ", &npz::to_npz(&[7; 4], [1, 2, 2]).unwrap()).shape, [1, 2, 2]);
        assert_eq!(load("V.Csv", b"a,b\n1,2\n").shape, [2, 1, 1]);
    }

    #[test]
    fn the_parquet_files_of_a_folder_are_one_set() {
        let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/parquet");
        let load = |files: &[(&str, &str)], rest: &str| {
            let dir = tempfile::tempdir().unwrap();
            for (name, golden) in files {
                std::fs::copy(goldens.join(golden), dir.path().join(name)).unwrap();
            }
            std::fs::write(dir.path().join("README.md"), "about").unwrap();
            let spec: Spec = format!("{}/{rest}", dir.path().display()).parse().unwrap();
            spec.load_within(Path::new(""), u64::MAX).map_err(|error| error.to_string())
        };
        let pictures = [("b.parquet", "hf_grey.parquet"), ("a.parquet", "hf_grey.parquet")];
        let images = load(&pictures, "@size=14[10:15]").unwrap();
        assert_eq!((images.len(), images.shape), (5, [1, 14, 14]));
        assert_eq!(images.labels, Some(vec![0, 1, 0, 1, 2]));
        assert_eq!(images.left_out, ["file `README.md`"]);
        assert!(load(&pictures, "[:25]").unwrap_err().contains("but the set has 24"));
        let vectors =
            [("0.parquet", "vectors_list.parquet"), ("1.parquet", "vectors_list.parquet")];
        let all = load(&vectors, "[3:6]").unwrap();
        assert_eq!((all.shape, all.labels), ([3, 1, 1], Some(vec![1, 3, 1])));
        let other = [("0.parquet", "vectors_list.parquet"), ("1.parquet", "vectors_fixed.parquet")];
        let message = load(&other, "").unwrap_err();
        assert!(
            message.contains("1.parquet is not usable: its vectors are of 3 values without labels"),
            "{message}"
        );
    }

    #[test]
    fn a_missing_data_dir_is_named() {
        let spec: Spec = "fashion-mnist:test".parse().unwrap();
        let message = spec.load(Path::new("no/such/dir")).unwrap_err().to_string();
        assert!(
            message.contains("no/such/dir/fashion-mnist/t10k-images-idx3-ubyte.gz"),
            "{message}"
        );
        assert!(message.contains("DATA_DIR"), "{message}");
        let system = std::fs::read("no/such/file").unwrap_err().to_string();
        assert!(message.contains(&format!("gz: {system}")), "{message}");
    }
}
