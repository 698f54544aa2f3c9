//! What can go wrong between this machine and the hub.

use std::path::PathBuf;
use thiserror::Error;

/// A file of the hub that cannot be had or published. Every message names the file or the URL and the way out.
#[derive(Debug, Error)]
pub enum HubError {
    /// A variable of the environment that cannot be used.
    #[error("{variable} is `{value}`: {problem}")]
    Environment {
        /// The variable.
        variable: &'static str,
        /// Its value; never a token.
        value: String,
        /// What is wrong, and the way out.
        problem: String,
    },
    /// A name that is no name on the hub, or would lead out of the cache.
    #[error("`{name}` cannot be the name of a {what} on the hub: {problem}")]
    Name {
        /// Repository, revision or file.
        what: &'static str,
        /// The name.
        name: String,
        /// The rule.
        problem: &'static str,
    },
    /// Not in the cache, and nothing may be fetched.
    #[error(
        "{what} is not in the cache ({looked}), and nothing is fetched offline; run the same command once without HF_HUB_OFFLINE and --offline"
    )]
    Offline {
        /// What is missing.
        what: String,
        /// Where it was looked for.
        looked: PathBuf,
    },
    /// Something that needs the hub, offline.
    #[error("publishing `{0}` needs the hub; run it without HF_HUB_OFFLINE")]
    PushOffline(String),
    /// No token where one is needed.
    #[error(
        "publishing `{repo}` needs a token that may write: set HF_TOKEN, or log in with `hf auth login`; tokens are made at {endpoint}/settings/tokens"
    )]
    NoToken {
        /// The repository.
        repo: String,
        /// The hub.
        endpoint: String,
    },
    /// 401 or 403.
    #[error("the hub refuses {url} ({status}{said}): {advice}")]
    Denied {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
        /// What the hub says, if anything.
        said: String,
        /// What to do.
        advice: String,
    },
    /// 404.
    #[error("{url} does not exist: {problem}")]
    NotFound {
        /// What was asked for.
        url: String,
        /// What is missing, and the way out.
        problem: String,
    },
    /// Any other refusal.
    #[error("the hub refuses {url} ({status}{said})")]
    Refused {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
        /// What the hub says, if anything.
        said: String,
    },
    /// An answer that is not one of a hub.
    #[error("{url} answers, but not as a hub does: {problem}; is HF_ENDPOINT right?")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// No answer after all tries.
    #[error(
        "cannot reach {url}: {problem} ({tries} tries); try again later, or set HF_ENDPOINT to a mirror; HF_HUB_OFFLINE=1 reads what is in the cache"
    )]
    Unreachable {
        /// What was asked for.
        url: String,
        /// The last try's problem.
        problem: String,
        /// Tries.
        tries: u32,
    },
    /// A download that stopped.
    #[error(
        "{url} stopped after {done} of {total} bytes: {problem} ({tries} tries without a byte); the same command goes on from there"
    )]
    Interrupted {
        /// What was asked for.
        url: String,
        /// Bytes there are.
        done: u64,
        /// Bytes of the file.
        total: u64,
        /// The last try's problem.
        problem: String,
        /// Tries.
        tries: u32,
    },
    /// Other bytes than those expected.
    #[error("{url} has the wrong checksum: expected sha256 {expected}, found {found}; {advice}")]
    Checksum {
        /// The file.
        url: String,
        /// The expected digest.
        expected: String,
        /// The digest found.
        found: String,
        /// What was done, and what to do.
        advice: &'static str,
    },
    /// A repository that is no run.
    #[error(
        "{page} is no run of atypical: it has no {missing}; name the repository (and revision) of a run published with atypical"
    )]
    NotARun {
        /// Its page.
        page: String,
        /// The file that makes a run.
        missing: &'static str,
    },
    /// A public repository where a private one was asked for.
    #[error(
        "{page} exists already and is public, but a private repository was asked for: nothing was published; \
         make it private at {page}/settings, or choose another name"
    )]
    Public {
        /// Its page.
        page: String,
    },
    /// A file of the cache that cannot be written.
    #[error("cannot write {path}: {source}{hint}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
        /// What to do.
        hint: String,
    },
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl HubError {
    /// A failed write to the cache, which may need `bytes` more.
    pub(super) fn write(path: &std::path::Path, source: std::io::Error, bytes: u64) -> Self {
        use std::io::ErrorKind::{
            FileTooLarge, NotADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem,
            StorageFull,
        };
        let hint = match source.kind() {
            StorageFull | FileTooLarge | QuotaExceeded => {
                format!(
                    " ({bytes} more bytes were needed; free some space, or set HF_HUB_CACHE to a folder on another disk: what is there already is kept)"
                )
            }
            PermissionDenied | ReadOnlyFilesystem | NotADirectory => {
                " (set HF_HUB_CACHE to a folder that you may write to)".into()
            }
            _ => String::new(),
        };
        Self::Write { path: path.to_path_buf(), source, hint }
    }
}
