//! One file into the cache: gathered beside its place, from where an earlier try ended, and put there when it is whole and right.

use super::{
    HubError,
    cache::Cache,
    http::{Client, Failure, TRIES},
    names::{is_commit, is_sha256},
};
use sha2::{Digest, Sha256};
use std::{
    fs::OpenOptions,
    io::{Read, Write},
    path::Path,
};

/// What the hub says of a file.
pub(super) struct Remote {
    pub url: String,
    pub page: String,
    pub commit: String,
    pub etag: String,
    pub size: u64,
}

impl Client {
    /// Ask the hub of a file, without fetching it.
    pub fn describe(&self, url: &str, page: &str) -> Result<Remote, HubError> {
        self.retry(url, || {
            let mut at = url.to_owned();
            let mut hops = 0;
            let response = loop {
                let response = self.check(self.head(&at)?, &at, page)?;
                let location = response.headers().get("Location").and_then(|v| v.to_str().ok());
                match location {
                    // A repository that was renamed. Redirects to other hosts lead to the bytes, and those say less.
                    Some(path) if path.starts_with('/') && !path.starts_with("//") && hops < 5 => {
                        let host = at.find("://").map_or(0, |i| i + 3);
                        let host = at[host..].find('/').map_or(at.len(), |i| i + host);
                        at = format!("{}{path}", &at[..host]);
                        hops += 1;
                    }
                    _ => break response,
                }
            };
            let header = |names: [&str; 2]| {
                names.iter().find_map(|n| response.headers().get(*n)).and_then(|v| v.to_str().ok())
            };
            let answer =
                |problem: &str| HubError::Answer { url: url.to_owned(), problem: problem.into() };
            let commit = header(["X-Repo-Commit"; 2])
                .filter(|c| is_commit(c))
                .ok_or_else(|| answer("it does not say which commit this is"))?;
            let etag = header(["X-Linked-ETag", "ETag"])
                .map(|e| e.trim_start_matches("W/").trim_matches('"'));
            // It becomes the name of a file.
            let safe = |e: &&str| {
                !e.is_empty()
                    && e.len() < 200
                    && e.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
            };
            let etag = etag.filter(safe).ok_or_else(|| answer("the file has no usable ETag"))?;
            let size = header(["X-Linked-Size", "Content-Length"])
                .and_then(|s| s.parse().ok())
                .ok_or_else(|| answer("it does not say how large the file is"))?;
            Ok(Remote {
                url: at,
                page: page.to_owned(),
                commit: commit.to_owned(),
                etag: etag.to_owned(),
                size,
            })
        })
    }

    /// The bytes of a file, into the cache's blobs. `sha256`: what they must be, where it is known.
    pub fn fetch(
        &self,
        cache: &Cache,
        remote: &Remote,
        sha256: Option<&str>,
        progress: &dyn Fn(u64, u64),
    ) -> Result<(), HubError> {
        let (blob, part) = (cache.blob(&remote.etag), cache.part(&remote.etag));
        // Files kept in git have no sha256 for an ETag; the others do.
        let of_hub = is_sha256(&remote.etag).then_some(remote.etag.as_str());
        let checksum = |expected: &str, found: &str, advice| HubError::Checksum {
            url: remote.url.clone(),
            expected: expected.to_owned(),
            found: found.to_owned(),
            advice,
        };
        if let (Some(expected), Some(found)) = (sha256, of_hub)
            && expected != found
        {
            return Err(checksum(
                expected,
                found,
                "nothing was downloaded: the hub has another file there than the one that was meant",
            ));
        }
        let expected = sha256.or(of_hub);
        let _lock =
            cache.lock(&remote.etag, || progress(size_of(&part).unwrap_or(0), remote.size))?;
        if size_of(&blob) == Some(remote.size)
            && expected.is_none_or(|e| sha256_of(&blob).is_ok_and(|found| found == e))
        {
            progress(remote.size, remote.size);
            return Ok(());
        }
        if expected.is_none() {
            // Nothing would tell whether another process's bytes are good.
            let _ = std::fs::remove_file(&part);
        }
        let mut resumed = size_of(&part).unwrap_or(0) > 0;
        let mut tries = 0;
        loop {
            let before = size_of(&part).unwrap_or(0);
            match self.receive(remote, &part, progress) {
                Ok(()) => {
                    let found = expected.map(|_| sha256_of(&part)).transpose()?;
                    match (expected, found) {
                        (Some(expected), Some(found)) if expected != found => {
                            let _ = std::fs::remove_file(&part);
                            // The bytes of an earlier try may be the wrong ones: once more, all of them.
                            if !std::mem::take(&mut resumed) {
                                return Err(checksum(
                                    expected,
                                    &found,
                                    "the file was removed; the same command downloads it again",
                                ));
                            }
                        }
                        _ => {
                            return std::fs::rename(&part, &blob)
                                .map_err(|e| HubError::write(&blob, e, 0));
                        }
                    }
                }
                Err(Failure::Never(error)) => return Err(error),
                Err(Failure::Again(problem)) => {
                    let done = size_of(&part).unwrap_or(0);
                    tries = if done > before { 1 } else { tries + 1 };
                    if tries == TRIES {
                        return Err(HubError::Interrupted {
                            url: remote.url.clone(),
                            done,
                            total: remote.size,
                            problem,
                            tries,
                        });
                    }
                    self.wait(tries);
                }
            }
        }
    }

    /// One try: what `part` lacks.
    fn receive(
        &self,
        remote: &Remote,
        part: &Path,
        progress: &dyn Fn(u64, u64),
    ) -> Result<(), Failure> {
        let total = remote.size;
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(part)
            .map_err(|e| HubError::write(part, e, total))?;
        let mut done = file.metadata().map_err(|e| HubError::write(part, e, total))?.len();
        let restart =
            |file: &std::fs::File| file.set_len(0).map_err(|e| HubError::write(part, e, total));
        if done > total {
            restart(&file)?;
            done = 0;
        }
        progress(done, total);
        if done == total {
            return Ok(());
        }
        let response = self.check(self.get_from(&remote.url, done)?, &remote.url, &remote.page)?;
        let range =
            response.headers().get("Content-Range").and_then(|v| v.to_str().ok()).unwrap_or("");
        if done > 0
            && !(response.status().as_u16() == 206 && range.starts_with(&format!("bytes {done}-")))
        {
            // The server sends all of it.
            restart(&file)?;
            done = 0;
        }
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match body.read(&mut buffer) {
                Ok(0) if done == total => break,
                Ok(0) => return Err(Failure::Again("the answer ended early".into())),
                Ok(n) => {
                    file.write_all(&buffer[..n])
                        .map_err(|e| HubError::write(part, e, total - done))?;
                    done += n as u64;
                    if done > total {
                        restart(&file)?;
                        return Err(Failure::Again(format!(
                            "more than the {total} bytes came that the hub spoke of"
                        )));
                    }
                    progress(done, total);
                }
                Err(e) => return Err(self.failure(ureq::Error::from(e))),
            }
        }
        file.sync_all().map_err(|e| HubError::write(part, e, 0))?;
        Ok(())
    }
}

pub(super) fn size_of(path: &Path) -> Option<u64> {
    Some(std::fs::metadata(path).ok()?.len())
}

/// The sha256 of a file.
pub(super) fn sha256_of(path: &Path) -> Result<String, HubError> {
    let error = |source| HubError::Read { path: path.to_path_buf(), source };
    let mut file = std::fs::File::open(path).map_err(error)?;
    let mut digest = Sha256::new();
    std::io::copy(&mut file, &mut digest).map_err(error)?;
    Ok(format!("{:x}", digest.finalize()))
}
