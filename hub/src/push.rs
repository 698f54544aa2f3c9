//! Publishing: large files go to the hub's storage, then one commit names them all.

use super::{
    Hub, HubError, download,
    http::{Client, Failure},
    names,
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    io::{Cursor, Read, Seek, SeekFrom},
    path::PathBuf,
};

const JSON: &str = "application/json";
const LFS: &str = "application/vnd.git-lfs+json";

/// What a published file contains.
#[derive(Clone, Debug)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Those of a file.
    File(PathBuf),
}

impl Content {
    fn error(&self, source: std::io::Error) -> HubError {
        let path = match self {
            Self::Bytes(_) => PathBuf::from("memory"),
            Self::File(path) => path.clone(),
        };
        HubError::Read { path, source }
    }

    /// `length` bytes from `from` on.
    fn part(&self, from: u64, length: u64) -> Result<Box<dyn Read + '_>, HubError> {
        match self {
            Self::Bytes(bytes) => {
                let mut reader = Cursor::new(bytes);
                reader.set_position(from);
                Ok(Box::new(reader.take(length)))
            }
            Self::File(path) => {
                let mut file = std::fs::File::open(path).map_err(|e| self.error(e))?;
                file.seek(SeekFrom::Start(from)).map_err(|e| self.error(e))?;
                Ok(Box::new(file.take(length)))
            }
        }
    }

    fn bytes(&self) -> Result<Vec<u8>, HubError> {
        let mut bytes = Vec::new();
        self.part(0, u64::MAX)?.read_to_end(&mut bytes).map_err(|e| self.error(e))?;
        Ok(bytes)
    }
}

/// A file to publish, and what the hub wants to know of it.
struct Item<'a> {
    name: &'a str,
    content: &'a Content,
    size: u64,
    sha256: String,
    sample: Vec<u8>,
}

impl<'a> Item<'a> {
    fn new((name, content): &'a (String, Content)) -> Result<Self, HubError> {
        names::file(name)?;
        let mut sample = Vec::new();
        content.part(0, 512)?.read_to_end(&mut sample).map_err(|e| content.error(e))?;
        let (size, sha256) = match content {
            Content::Bytes(bytes) => (bytes.len() as u64, format!("{:x}", Sha256::digest(bytes))),
            Content::File(path) => (
                std::fs::metadata(path).map_err(|e| content.error(e))?.len(),
                download::sha256_of(path)?,
            ),
        };
        Ok(Self { name, content, size, sha256, sample })
    }
}

impl Hub {
    /// Publish files in a model repository, made if there is none, as one commit; returns the commit's URL.
    ///
    /// Files of that name are replaced, others stay.
    ///
    /// # Errors
    /// No token, a token that may not write, a public repository where a private one is asked for, a file that cannot be read, a hub that cannot be reached.
    /// Nothing is published then.
    pub fn push(
        &self,
        repo: &str,
        private: bool,
        files: &[(String, Content)],
        message: &str,
    ) -> Result<String, HubError> {
        names::model(repo)?;
        if self.offline {
            return Err(HubError::PushOffline(repo.to_owned()));
        }
        let client = self.client.patient();
        if client.token.is_none() {
            return Err(HubError::NoToken { repo: repo.to_owned(), endpoint: client.endpoint });
        }
        let items = files.iter().map(Item::new).collect::<Result<Vec<_>, _>>()?;
        let to = Target {
            page: format!("{}/{repo}", client.endpoint),
            api: format!("{}/api/models/{repo}", client.endpoint),
            client: &client,
        };
        to.create(repo, private)?;
        let large = to.large(&items)?;
        to.upload(&large)?;
        to.commit(&items, &large, message)
    }
}

/// The repository published to.
struct Target<'a> {
    client: &'a Client,
    page: String,
    api: String,
}

impl Target<'_> {
    fn post(&self, url: &str, kind: &str, body: &Value) -> Result<Value, HubError> {
        self.client
            .retry(url, || self.client.post(url, &self.page, kind, body.to_string().as_bytes()))
    }

    /// Make the repository, if it is not there.
    fn create(&self, repo: &str, private: bool) -> Result<(), HubError> {
        let (owner, name) = repo.split_once('/').unwrap_or_default();
        let url = format!("{}/api/repos/create", self.client.endpoint);
        let refused = match self.post(
            &url,
            JSON,
            &json!({ "name": name, "organization": owner, "private": private }),
        ) {
            // A token may be for this repository alone, and not make any.
            Err(
                error @ (HubError::Refused { status: 409, .. }
                | HubError::Denied { status: 403, .. }),
            ) => error,
            made => return made.map(drop),
        };
        let exists = matches!(refused, HubError::Refused { .. });
        match self.client.json(&self.api, &self.page) {
            Ok(found) if private && found["private"] != true => {
                Err(HubError::Public { page: self.page.clone() })
            }
            Ok(_) => Ok(()),
            Err(error) => Err(if exists { error } else { refused }),
        }
    }

    /// Those that the hub wants in its storage, not in the commit itself.
    fn large<'i>(&self, items: &'i [Item<'i>]) -> Result<Vec<&'i Item<'i>>, HubError> {
        let url = format!("{}/preupload/main", self.api);
        let files: Vec<_> = items
            .iter()
            .map(|i| json!({ "path": i.name, "size": i.size, "sample": BASE64.encode(&i.sample) }))
            .collect();
        let answer = self.post(&url, JSON, &json!({ "files": files }))?;
        let modes: HashMap<_, _> = answer["files"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|f| Some((f["path"].as_str()?, f["uploadMode"].as_str()?)))
            .collect();
        if let Some(item) = items.iter().find(|i| !modes.contains_key(i.name)) {
            return Err(HubError::Answer {
                url,
                problem: format!("it does not say how to send {}", item.name),
            });
        }
        // Nothing cannot be stored.
        Ok(items.iter().filter(|i| i.size > 0 && modes[i.name] == "lfs").collect())
    }

    /// Send large files to where the hub wants them; it has some already.
    fn upload(&self, items: &[&Item]) -> Result<(), HubError> {
        if items.is_empty() {
            return Ok(());
        }
        let url = format!("{}.git/info/lfs/objects/batch", self.page);
        let objects: Vec<_> =
            items.iter().map(|i| json!({ "oid": i.sha256, "size": i.size })).collect();
        let request = json!({ "operation": "upload", "transfers": ["basic", "multipart"], "objects": objects,
            "hash_algo": "sha256", "ref": { "name": "main" } });
        let answer = self.post(&url, LFS, &request)?;
        for item in items {
            let object = answer["objects"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|o| o["oid"] == item.sha256.as_str());
            let problem = |problem: String| HubError::Answer {
                url: url.clone(),
                problem: format!("{}: {problem}", item.name),
            };
            let object =
                object.ok_or_else(|| problem("it does not say where to send it".into()))?;
            if let Some(error) = object["error"]["message"].as_str() {
                return Err(problem(error.to_owned()));
            }
            let Some(action) = object["actions"].get("upload") else { continue };
            let to = action["href"]
                .as_str()
                .ok_or_else(|| problem("it does not say where to send it".into()))?;
            let parts = &action["header"];
            match parts["chunk_size"].as_str().map(str::parse) {
                None => drop(self.put(to, item, 0, item.size)?),
                Some(Ok(size @ 1u64..)) => self.put_parts(to, item, size, parts)?,
                Some(_) => return Err(problem("the size of its parts is no number".into())),
            }
            if let Some(verify) = object["actions"]["verify"]["href"].as_str() {
                self.post(verify, LFS, &json!({ "oid": item.sha256, "size": item.size }))?;
            }
        }
        Ok(())
    }

    /// Send part of a file; the ETag of what was stored.
    fn put(
        &self,
        url: &str,
        item: &Item,
        from: u64,
        length: u64,
    ) -> Result<Option<String>, HubError> {
        self.client.retry(url, || {
            let mut reader = item.content.part(from, length)?;
            let headers = self.client.put(
                url,
                &self.page,
                length,
                ureq::SendBody::from_reader(&mut reader),
            )?;
            Ok(headers.get("ETag").and_then(|v| v.to_str().ok()).map(str::to_owned))
        })
    }

    /// Send a file in parts, each to a URL of its own, and say so when all are there.
    fn put_parts(
        &self,
        complete: &str,
        item: &Item,
        size: u64,
        urls: &Value,
    ) -> Result<(), HubError> {
        let mut parts = Vec::new();
        for (index, from) in
            (0..item.size).step_by(usize::try_from(size).unwrap_or(usize::MAX)).enumerate()
        {
            let number = index + 1;
            // "1" or, where there are many, "00001".
            let url = urls
                .as_object()
                .into_iter()
                .flatten()
                .find(|(key, _)| key.parse() == Ok(number))
                .and_then(|(_, url)| url.as_str());
            let answer = |problem: &str| HubError::Answer {
                url: complete.to_owned(),
                problem: format!("{}: {problem} {number}", item.name),
            };
            let url = url.ok_or_else(|| answer("it does not say where to send part"))?;
            let etag = self
                .put(url, item, from, size.min(item.size - from))?
                .ok_or_else(|| answer("there is no ETag of part"))?;
            parts.push(json!({ "partNumber": number, "etag": etag }));
        }
        self.post(complete, LFS, &json!({ "oid": item.sha256, "parts": parts })).map(drop)
    }

    /// The commit; tried once, for a second one might add an empty commit.
    fn commit(&self, items: &[Item], large: &[&Item], message: &str) -> Result<String, HubError> {
        let url = format!("{}/commit/main", self.api);
        let mut lines =
            vec![json!({ "key": "header", "value": { "summary": message, "description": "" } })];
        for item in items {
            lines.push(if large.iter().any(|l| l.name == item.name) {
                json!({ "key": "lfsFile", "value": { "path": item.name, "algo": "sha256", "oid": item.sha256, "size": item.size } })
            } else {
                json!({ "key": "file", "value": { "path": item.name, "encoding": "base64", "content": BASE64.encode(item.content.bytes()?) } })
            });
        }
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let answer = self
            .client
            .post(&url, &self.page, "application/x-ndjson", body.as_bytes())
            .map_err(|failure| match failure {
                Failure::Never(error) => error,
                Failure::Again(problem) => {
                    let problem = format!(
                        "{problem}; whether the commit was made is to be seen at {}/commits/main",
                        self.page
                    );
                    HubError::Unreachable { url: url.clone(), problem, tries: 1 }
                }
            })?;
        let commit = answer["commitUrl"].as_str().map(str::to_owned);
        commit
            .ok_or_else(|| HubError::Answer { url, problem: "it does not name the commit".into() })
    }
}
