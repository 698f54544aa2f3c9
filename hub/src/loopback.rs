//! A small hub on this machine, for tests: one thread a connection, one answer each, with faults switched on by path.

use super::{Hub, http::Client};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

/// The only commit there is.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// The token that may do everything.
pub const TOKEN: &str = "hf_test";

/// What goes wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No byte after this many of the file, the connection stays open.
    Stall(usize),
    /// The connection closes after this many bytes of the file, every time.
    Truncate(usize),
    /// The same, the first time only.
    CloseOnce(usize),
    /// A byte of the file is another.
    Garble,
    /// The server knows no ranges.
    NoRange,
    /// This status, and X-Error-Code.
    Status(u16, &'static str),
}

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Seen {
    /// GET, POST or PUT.
    pub method: String,
    /// What is asked for.
    pub path: String,
    /// Its `Range`.
    pub range: Option<String>,
    /// Whether it has [`TOKEN`].
    pub token: bool,
    /// Whether its body is of unknown length.
    pub chunked: bool,
    /// Bytes of the file that went out.
    pub sent: usize,
}

#[derive(Default)]
struct State {
    /// Path under `resolve/COMMIT/` by repository, and content; `true` for those in Git LFS.
    files: BTreeMap<String, (Vec<u8>, bool)>,
    /// Files that a listing has besides.
    listed: Vec<String>,
    faults: BTreeMap<String, Fault>,
    seen: Vec<Seen>,
    /// What was published: objects by sha256, lines of the commit, the body of `create`.
    objects: BTreeMap<String, Vec<u8>>,
    commit: Vec<Value>,
    /// Models that exist, and whether they are private.
    models: BTreeMap<String, bool>,
    chunk: Option<usize>,
}

/// The server.
pub struct Loopback {
    /// Its URL.
    pub endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Loopback {
    /// A server with nothing on it.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                // A client that goes away is none of the server's business.
                std::thread::spawn(move || answer(stream, port, &state).ok());
            }
        });
        Self { endpoint: format!("http://127.0.0.1:{port}"), state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A client of this server with a cache of its own, which does not wait for long.
    pub fn hub(&self, cache: &Path, token: Option<&str>, offline: bool) -> Hub {
        let patience = (Duration::from_secs(20), Duration::from_millis(5));
        let token = token.map(str::to_owned);
        let client = Client::new(&self.endpoint, token, patience.0, patience.1);
        Hub::new(client, cache.to_path_buf(), offline)
    }

    /// The run `owner/run` with these weights, as it is published.
    pub fn run(&self, weights: &[u8]) {
        self.small("owner/run/config.yaml", b"name: run");
        self.small("owner/run/.gitattributes", b"x");
        self.small("owner/run/README.md", b"");
        self.large("owner/run/model/best.safetensors", weights);
    }

    /// A file in Git LFS, named by its repository: `datasets/owner/name/FILE` or `owner/name/FILE`.
    pub fn large(&self, path: &str, content: &[u8]) {
        self.state().files.insert(path.into(), (content.into(), true));
    }

    /// A file in git itself.
    pub fn small(&self, path: &str, content: &[u8]) {
        self.state().files.insert(path.into(), (content.into(), false));
    }

    /// A name that listings have.
    pub fn list(&self, name: &str) {
        self.state().listed.push(name.into());
    }

    /// A model that exists.
    pub fn model(&self, repo: &str, private: bool) {
        self.state().models.insert(repo.into(), private);
    }

    /// Uploads go in parts of so many bytes.
    pub fn chunk(&self, bytes: usize) {
        self.state().chunk = Some(bytes);
    }

    /// Let go wrong what has this in its path.
    pub fn fault(&self, path: &str, fault: Fault) {
        self.state().faults.insert(path.into(), fault);
    }

    /// All faults are gone.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// What was asked.
    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// Requests for bytes: `GET`, where the bytes are.
    pub fn gets(&self, path: &str) -> Vec<Seen> {
        self.seen()
            .into_iter()
            .filter(|s| s.method == "GET" && s.path.contains(path) && s.sent > 0)
            .collect()
    }

    /// Large files that were published, by SHA-256.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.state().objects.clone()
    }

    /// The lines of the last commit.
    pub fn commit(&self) -> Vec<Value> {
        self.state().commit.clone()
    }

    /// Serve what the last commit published, as the repository it went to.
    ///
    /// # Panics
    /// With a commit that names files that were not uploaded.
    pub fn serve_commit(&self, repo: &str) {
        let mut state = self.state();
        for line in state.commit.clone() {
            let value = &line["value"];
            let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
            let path = format!("{repo}/{}", text("path"));
            match line["key"].as_str() {
                Some("file") => {
                    let content = BASE64.decode(text("content")).unwrap();
                    state.files.insert(path, (content, false));
                }
                Some("lfsFile") => {
                    let content = state.objects[&text("oid")].clone();
                    state.files.insert(path, (content, true));
                }
                _ => {}
            }
        }
    }

    /// Whether a model is private; none where there is no such model.
    pub fn is_private(&self, repo: &str) -> Option<bool> {
        self.state().models.get(repo).copied()
    }
}

struct Request {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

fn read(stream: &TcpStream) -> std::io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((key, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(key.to_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length").and_then(|l| l.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body)?;
    Ok(Request { method, path, headers, body })
}

fn send(mut stream: &TcpStream, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    )?;
    stream.write_all(body)
}

fn answer(stream: TcpStream, port: u16, state: &Mutex<State>) -> std::io::Result<()> {
    let request = read(&stream)?;
    let token = request.headers.get("authorization").map(|a| a == &format!("Bearer {TOKEN}"));
    let range = request.headers.get("range").cloned();
    let chunked = request.headers.contains_key("transfer-encoding");
    let mut state = state.lock().unwrap();
    let (method, path) = (request.method.clone(), request.path.clone());
    state.seen.push(Seen {
        method,
        path: path.clone(),
        range: range.clone(),
        token: token.is_some(),
        chunked,
        sent: 0,
    });
    let (mine, fault) = (
        state.seen.len() - 1,
        state
            .faults
            .iter()
            .find(|(key, _)| path.contains(*key))
            .map(|(key, fault)| (key.clone(), *fault)),
    );
    if let Some((_, Fault::Status(status, code))) = fault {
        drop(state);
        return send(
            &stream,
            &status.to_string(),
            &format!("X-Error-Code: {code}\r\nX-Error-Message: said by the hub\r\n"),
            b"",
        );
    }
    let whole = |content: &[u8], state| {
        let note = |sent, state: &mut State| state.seen[mine].sent = sent;
        bytes(&stream, content, range, fault, note, state)
    };
    if let Some(content) =
        path.strip_prefix("/cdn/").and_then(|p| state.files.get(p)).map(|f| f.0.clone())
    {
        return whole(&content, state);
    }
    // A repository that was renamed.
    if let Some(rest) = path.strip_prefix("/datasets/old/") {
        drop(state);
        return send(&stream, "307", &format!("Location: /datasets/owner/{rest}\r\n"), b"");
    }
    if let Some((repo, rest)) = path[1..].split_once("/resolve/") {
        let file = rest.split_once('/').map_or("", |(_, file)| file);
        let name = format!("{repo}/{file}");
        let Some((content, large)) = state.files.get(&name).cloned() else {
            drop(state);
            return send(&stream, "404", "X-Error-Code: EntryNotFound\r\n", b"");
        };
        let commit = format!("X-Repo-Commit: {COMMIT}\r\n");
        if large {
            let (size, sha256) = (content.len(), format!("{:x}", Sha256::digest(&content)));
            let headers = format!(
                "{commit}X-Linked-Size: {size}\r\nX-Linked-ETag: \"{sha256}\"\r\nETag: \"other\"\r\nLocation: http://localhost:{port}/cdn/{name}\r\n"
            );
            drop(state);
            return send(&stream, "302", &headers, b"");
        }
        let headers = format!("{commit}ETag: \"git-{}\"\r\n", content.len());
        if request.method == "HEAD" {
            let mut stream = &stream;
            return write!(
                stream,
                "HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
                content.len()
            );
        }
        return whole(&content, state);
    }
    let (status, body) = api(&request, token, port, &mut state);
    drop(state);
    send(
        &stream,
        &status.to_string(),
        "Content-Type: application/json\r\nETag: \"part\"\r\n",
        body.to_string().as_bytes(),
    )
}

/// Bytes of a file, from where they are asked for, with the fault.
fn bytes(
    mut stream: &TcpStream,
    content: &[u8],
    range: Option<String>,
    fault: Option<(String, Fault)>,
    note: impl Fn(usize, &mut State),
    mut state: MutexGuard<'_, State>,
) -> std::io::Result<()> {
    let (key, fault) = fault.map_or((String::new(), None), |(key, fault)| (key, Some(fault)));
    let mut content = content.to_vec();
    let size = content.len();
    let from = range
        .and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok())
        .filter(|_| fault != Some(Fault::NoRange))
        .unwrap_or(0);
    let mut end = size;
    match fault {
        Some(Fault::Stall(n) | Fault::Truncate(n)) => end = n,
        Some(Fault::CloseOnce(n)) => {
            end = n;
            state.faults.remove(&key);
        }
        Some(Fault::Garble) => content[size / 2] ^= 1,
        _ => {}
    }
    let part = &content[from..end.max(from)];
    note(part.len(), &mut state);
    drop(state);
    let status = if from > 0 {
        format!("206 X\r\nContent-Range: bytes {from}-{}/{size}", size - 1)
    } else {
        "200 X".into()
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        size - from
    )?;
    stream.write_all(part)?;
    if matches!(fault, Some(Fault::Stall(_))) {
        // Until the client gives up.
        let _ = stream.read(&mut [0]);
    }
    Ok(())
}

fn api(request: &Request, token: Option<bool>, port: u16, state: &mut State) -> (u16, Value) {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let path = request.path.split('?').next().unwrap_or_default();
    if let Some((repo, _)) =
        path.strip_prefix("/api/models/").and_then(|p| p.split_once("/revision/"))
    {
        let own = state.files.iter().filter_map(|(name, (content, _))| {
            let name = name.strip_prefix(repo)?.strip_prefix('/')?;
            Some(json!({ "rfilename": name, "size": content.len() }))
        });
        let mut siblings: Vec<Value> = own.collect();
        siblings.extend(state.listed.iter().map(|name| json!({ "rfilename": name, "size": 1 })));
        return (200, json!({ "sha": COMMIT, "siblings": siblings }));
    }
    if let Some(object) = path.strip_prefix("/put/") {
        assert!(token.is_none(), "the token went to the storage");
        state.objects.insert(object.into(), request.body.clone());
        return (200, Value::Null);
    }
    if token != Some(true) {
        return (401, json!({ "error": "Invalid credentials" }));
    }
    if path == "/api/repos/create" {
        let repo = format!(
            "{}/{}",
            body["organization"].as_str().unwrap_or("me"),
            body["name"].as_str().unwrap_or_default()
        );
        if state.models.contains_key(&repo) {
            return (409, json!({ "error": "You already created this model repo" }));
        }
        let url = format!("http://127.0.0.1:{port}/{repo}");
        state.models.insert(repo, body["private"] == true);
        return (200, json!({ "url": url }));
    }
    if path.ends_with("/preupload/main") {
        let mode = |f: &Value| {
            if f["path"].as_str().unwrap_or_default().ends_with(".safetensors") {
                "lfs"
            } else {
                "regular"
            }
        };
        let files: Vec<Value> = body["files"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|f| json!({ "path": f["path"], "uploadMode": mode(f), "shouldIgnore": false }))
            .collect();
        return (200, json!({ "files": files }));
    }
    if path.ends_with(".git/info/lfs/objects/batch") {
        let object = |o: &Value| {
            let oid = o["oid"].as_str().unwrap_or_default();
            if state.objects.contains_key(oid) {
                return json!({ "oid": oid, "size": o["size"] });
            }
            let verify = json!({ "href": format!("http://127.0.0.1:{port}/api/verify") });
            let Some(chunk) = state.chunk else {
                let upload = json!({ "href": format!("http://localhost:{port}/put/{oid}") });
                return json!({ "oid": oid, "size": o["size"], "actions": { "upload": upload, "verify": verify } });
            };
            let mut header = json!({ "chunk_size": chunk.to_string() });
            for part in 1..=o["size"].as_u64().unwrap_or(0).div_ceil(chunk as u64) {
                header[format!("{part:05}")] =
                    format!("http://localhost:{port}/put/{oid}-{part}").into();
            }
            let upload = json!({ "href": format!("http://127.0.0.1:{port}/api/complete"), "header": header });
            json!({ "oid": oid, "size": o["size"], "actions": { "upload": upload } })
        };
        let objects: Vec<Value> =
            body["objects"].as_array().into_iter().flatten().map(object).collect();
        return (200, json!({ "transfer": "basic", "objects": objects }));
    }
    if path == "/api/complete" {
        let oid = body["oid"].as_str().unwrap_or_default();
        let parts = body["parts"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|p| state.objects[&format!("{oid}-{}", p["partNumber"])].clone())
            .collect();
        state.objects.insert(oid.into(), parts);
        return (200, Value::Null);
    }
    if path == "/api/verify" {
        let known = state
            .objects
            .get(body["oid"].as_str().unwrap_or_default())
            .is_some_and(|o| body["size"] == o.len());
        return (if known { 200 } else { 400 }, Value::Null);
    }
    if path.ends_with("/commit/main") {
        state.commit = request
            .body
            .split(|b| *b == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect();
        return (
            200,
            json!({ "success": true, "commitOid": COMMIT, "commitUrl": format!("http://127.0.0.1:{port}/me/run/commit/{COMMIT}") }),
        );
    }
    match path.strip_prefix("/api/models/").and_then(|repo| state.models.get(repo)) {
        Some(private) => (200, json!({ "private": private })),
        None => (404, json!({ "error": "Repository not found" })),
    }
}
