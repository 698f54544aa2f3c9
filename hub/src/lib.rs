//! Data sets and trained runs of the Hugging Face hub, and publishing runs there.
//!
//! Spoken over plain HTTP: `resolve/` for files (with `Range`, so that a download goes on where it ended), the API for listings and commits, Git LFS for large
//! uploads. The hub serves all of its files, those in Xet storage too, to such clients.

mod cache;
mod download;
mod error;
mod http;
#[cfg(any(test, feature = "loopback"))]
pub mod loopback;
mod names;
mod push;
#[cfg(test)]
mod tests;

pub use error::HubError;
pub use push::Content;

use cache::Cache;
use http::Client;
use names::Kind;
use std::{
    cell::Cell,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

/// What is fetched of a run: files, and folders with all in them.
const RUN: [&str; 6] =
    ["config.yaml", "model/", "metrics.jsonl", "import.json", "README.md", "samples.png"];

/// Makes a repository a run. Fetched last, so that a folder that has it is whole.
const MARK: &str = "config.yaml";

/// Where files of the hub come from and go to.
pub struct Hub {
    client: Client,
    cache: PathBuf,
    offline: bool,
}

impl std::fmt::Debug for Hub {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { client, cache, offline } = self;
        f.debug_struct("Hub")
            .field("endpoint", &client.endpoint)
            .field("cache", cache)
            .field("offline", offline)
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// The hub as the environment has it, by the variables of Python's `huggingface_hub`: `HF_ENDPOINT`, `HF_TOKEN` or the file of `hf auth login`
    /// (`HF_TOKEN_PATH`, `HF_HOME/token`), `HF_HUB_CACHE` or `HF_HOME/hub`, `HF_HUB_OFFLINE`, and `HF_HUB_DOWNLOAD_TIMEOUT`, the seconds of silence that end a
    /// try (default 30). `offline` fetches nothing, whatever the environment says.
    ///
    /// # Errors
    /// A variable that cannot be used.
    pub fn from_environment(offline: bool) -> Result<Self, HubError> {
        Self::from_variables(offline, |name| std::env::var_os(name))
    }

    fn from_variables(
        offline: bool,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, HubError> {
        let folder = |name| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let text = |name: &'static str| match folder(name).map(|v| v.into_os_string().into_string())
        {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some(text.trim().to_owned()).filter(|t| !t.is_empty())),
            Some(Err(_)) => Err(HubError::Environment {
                variable: name,
                value: "…".into(),
                problem: "it is not UTF-8".into(),
            }),
        };
        let home = || {
            let cache = folder("XDG_CACHE_HOME").or_else(|| {
                folder("HOME").or_else(|| folder("USERPROFILE")).map(|home| home.join(".cache"))
            });
            folder("HF_HOME")
                .unwrap_or_else(|| cache.unwrap_or_else(std::env::temp_dir).join("huggingface"))
        };
        let endpoint = text("HF_ENDPOINT")?.unwrap_or_else(|| "https://huggingface.co".into());
        let endpoint = endpoint.trim_end_matches('/');
        let host = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
        if host.is_none_or(|host| {
            host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '?' || c == '#')
        }) {
            let problem = "write a URL, e.g. https://huggingface.co, or unset it".into();
            return Err(HubError::Environment {
                variable: "HF_ENDPOINT",
                value: endpoint.to_owned(),
                problem,
            });
        }
        let stall = match text("HF_HUB_DOWNLOAD_TIMEOUT")? {
            None => Duration::from_secs(30),
            Some(value) => match value.parse::<f64>() {
                Ok(seconds) if (0.1..=86_400.0).contains(&seconds) => {
                    Duration::from_secs_f64(seconds)
                }
                _ => {
                    return Err(HubError::Environment {
                        variable: "HF_HUB_DOWNLOAD_TIMEOUT",
                        value,
                        problem: "write seconds, from 0.1 to 86400".into(),
                    });
                }
            },
        };
        let token = match text("HF_TOKEN")? {
            Some(token) => Some(token),
            None => {
                let path = folder("HF_TOKEN_PATH").unwrap_or_else(|| home().join("token"));
                std::fs::read_to_string(path)
                    .ok()
                    .map(|token| token.trim().to_owned())
                    .filter(|token| !token.is_empty())
            }
        };
        if token.as_ref().is_some_and(|token| !token.bytes().all(|b| b.is_ascii_graphic())) {
            let problem = "a token is letters, digits and `_`; copy it again from https://huggingface.co/settings/tokens".into();
            return Err(HubError::Environment {
                variable: "HF_TOKEN", value: "…".into(), problem
            });
        }
        let offline = offline
            || text("HF_HUB_OFFLINE")?
                .is_some_and(|v| ["1", "on", "yes", "true"].contains(&v.to_lowercase().as_str()));
        let cache = folder("HF_HUB_CACHE").unwrap_or_else(|| home().join("hub"));
        Ok(Self::new(Client::new(endpoint, token, stall, Duration::from_secs(1)), cache, offline))
    }

    fn new(client: Client, cache: PathBuf, offline: bool) -> Self {
        Self { client, cache, offline }
    }

    /// One file of a data set at a revision (the hash of a commit, so that it is the same tomorrow), from the cache where it is there. `progress` is told the
    /// bytes there are and those of the file.
    ///
    /// # Errors
    /// A name that does not exist, terms not accepted, a hub that cannot be reached or falls silent, other bytes than `sha256` says, a cache that cannot be
    /// written; offline, a file that is not in the cache. What was received of a file is kept, and the next call goes on from there.
    pub fn dataset_file(
        &self,
        repo: &str,
        revision: &str,
        file: &str,
        sha256: Option<&str>,
        progress: &dyn Fn(u64, u64),
    ) -> Result<PathBuf, HubError> {
        names::repo(repo)?;
        names::revision(revision)?;
        names::file(file)?;
        self.file(Kind::Dataset, repo, revision, file, sha256, progress)
    }

    /// The files of a run published as a model repository, in the cache; returns their folder. It belongs to the cache: read it, or copy it, but write nothing
    /// into it. `progress` is told the bytes there are and those of all files.
    ///
    /// # Errors
    /// As [`dataset_file`](Self::dataset_file); a repository that is no run; a file that its listing puts outside the folder.
    pub fn run(
        &self,
        repo: &str,
        revision: Option<&str>,
        progress: &dyn Fn(u64, u64),
    ) -> Result<PathBuf, HubError> {
        let revision = revision.unwrap_or("main");
        names::model(repo)?;
        names::revision(revision)?;
        let cache = Cache::new(&self.cache, Kind::Model, repo);
        let known = cache
            .commit_of(revision)
            .map(|commit| cache.snapshot(&commit))
            .filter(|folder| folder.join(MARK).exists());
        match known {
            Some(folder) if self.offline || names::is_commit(revision) => return Ok(folder),
            None if self.offline => {
                return Err(self.missing(format!("the run {repo} at revision {revision}")));
            }
            _ => {}
        }
        let page = self.page(Kind::Model, repo);
        let url = format!(
            "{}/api/models/{repo}/revision/{}?blobs=true",
            self.client.endpoint,
            names::encode(revision, "")
        );
        let listing = self.client.json(&url, &page)?;
        let answer =
            |problem: &str| HubError::Answer { url: url.clone(), problem: problem.to_owned() };
        let commit = listing["sha"]
            .as_str()
            .filter(|sha| names::is_commit(sha))
            .ok_or_else(|| answer("it does not say which commit this is"))?;
        let mut files = Vec::new();
        for sibling in listing["siblings"].as_array().into_iter().flatten() {
            let name = sibling["rfilename"].as_str().ok_or_else(|| answer("a file has no name"))?;
            names::file(name)?;
            // What a run consists of; a repository may hold more, of any size.
            if RUN.iter().any(|part| name.starts_with(part)) {
                files.push((name, sibling["size"].as_u64().unwrap_or(0)));
            }
        }
        if !files.iter().any(|(name, _)| *name == MARK) {
            return Err(HubError::NotARun { page, missing: MARK });
        }
        files.sort_by_key(|(name, _)| *name == MARK);
        let total = files.iter().map(|(_, size)| size).sum();
        let before = Cell::new(0);
        for (name, size) in files {
            self.file(Kind::Model, repo, commit, name, None, &|done, _| {
                progress(before.get() + done.min(size), total)
            })?;
            before.set(before.get() + size);
        }
        cache.set_commit(revision, commit)?;
        progress(total, total);
        Ok(cache.snapshot(commit))
    }

    /// A file whose names were checked.
    fn file(
        &self,
        kind: Kind,
        repo: &str,
        revision: &str,
        file: &str,
        sha256: Option<&str>,
        progress: &dyn Fn(u64, u64),
    ) -> Result<PathBuf, HubError> {
        let cache = Cache::new(&self.cache, kind, repo);
        let known = cache
            .commit_of(revision)
            .map(|commit| cache.snapshot(&commit).join(file))
            .filter(|path| path.exists());
        let page = self.page(kind, repo);
        let url =
            format!("{page}/resolve/{}/{}", names::encode(revision, ""), names::encode(file, "/"));
        if let Some(path) = known.filter(|_| self.offline || names::is_commit(revision)) {
            let Some((expected, found)) = wrong(&path, sha256)? else { return Ok(path) };
            // The file of that content is what it should be, whatever was expected; any other is damaged.
            let blob = path.canonicalize().unwrap_or_else(|_| path.clone());
            let meant = blob.file_name().is_some_and(|name| name == found.as_str());
            if !meant {
                let _ = std::fs::remove_file(&blob);
            }
            if meant || self.offline {
                let advice = if meant {
                    "that is the file of this name and revision: another was meant"
                } else {
                    "the file was removed from the cache; download it again, without --offline"
                };
                return Err(HubError::Checksum {
                    url: blob.display().to_string(),
                    expected,
                    found,
                    advice,
                });
            }
        }
        if self.offline {
            return Err(self.missing(format!("{file} of {repo} at revision {revision}")));
        }
        let remote = self.client.describe(&url, &page)?;
        if names::is_commit(revision) && remote.commit != revision {
            return Err(HubError::Answer {
                url,
                problem: format!("it has the commit {} there", remote.commit),
            });
        }
        self.client.fetch(&cache, &remote, sha256, progress)?;
        let path = cache.link(&remote.commit, file, &remote.etag)?;
        cache.set_commit(revision, &remote.commit)?;
        Ok(path)
    }

    /// Where people see a repository.
    fn page(&self, kind: Kind, repo: &str) -> String {
        format!("{}/{}{repo}", self.client.endpoint, kind.prefix())
    }

    fn missing(&self, what: String) -> HubError {
        HubError::Offline { what, looked: self.cache.clone() }
    }
}

/// The sha256 expected of a file and that found, where they differ.
fn wrong(path: &Path, sha256: Option<&str>) -> Result<Option<(String, String)>, HubError> {
    let Some(expected) = sha256 else { return Ok(None) };
    let found = download::sha256_of(path)?;
    Ok((found != expected).then(|| (expected.to_owned(), found)))
}
