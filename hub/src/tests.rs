//! The hub as it is met: by a server on this machine, with its faults.

use super::{
    loopback::{COMMIT, Fault, Loopback, TOKEN},
    *,
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use std::{cell::RefCell, time::Instant};

const REPO: &str = "owner/set";
const FILE: &str = "data/train 0.parquet";
const AT: &str = "datasets/owner/set/data/train%200.parquet";

fn hub(server: &Loopback, cache: &Path) -> Hub {
    server.hub(cache, None, false)
}

fn content() -> Vec<u8> {
    (0..30_000u32).flat_map(|i| (i.wrapping_mul(2_654_435_761) >> 8).to_le_bytes()).collect()
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    format!("{:x}", Sha256::digest(bytes))
}

/// A server with one data set, and an empty cache.
fn scene() -> (Loopback, tempfile::TempDir, Vec<u8>) {
    let (server, content) = (Loopback::start(), content());
    server.large(AT, &content);
    (server, tempfile::tempdir().unwrap(), content)
}

fn fetch(hub: &Hub) -> Result<PathBuf, HubError> {
    hub.dataset_file(REPO, COMMIT, FILE, None, &|_, _| {})
}

fn sent(server: &Loopback) -> usize {
    server.gets("train").iter().map(|s| s.sent).sum()
}

fn leftovers(cache: &Path) -> Vec<String> {
    let blobs = std::fs::read_dir(cache.join("datasets--owner--set/blobs")).unwrap();
    blobs.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_file_is_fetched_once_and_lies_where_python_looks_for_it() {
    let (server, cache, content) = scene();
    let hub = server.hub(cache.path(), Some(TOKEN), false);
    let told = RefCell::new(Vec::new());
    let path = hub
        .dataset_file(REPO, COMMIT, FILE, Some(&sha256(&content)), &|done, total| {
            told.borrow_mut().push((done, total))
        })
        .unwrap();
    assert_eq!(path, cache.path().join(format!("datasets--owner--set/snapshots/{COMMIT}/{FILE}")));
    assert_eq!(std::fs::read(&path).unwrap(), content);
    assert_eq!(leftovers(cache.path()), [sha256(&content)]);
    let total = content.len() as u64;
    assert_eq!((told.borrow()[0], *told.borrow().last().unwrap()), ((0, total), (total, total)));
    assert!(told.borrow().is_sorted());
    // The token was for the hub, and not for the storage that it pointed to.
    assert!(
        server.seen().iter().all(|s| s.token != s.path.starts_with("/cdn/")),
        "{:?}",
        server.seen()
    );
    let before = server.seen().len();
    assert_eq!(fetch(&hub).unwrap(), path);
    assert_eq!(
        server.seen().len(),
        before,
        "a file of a pinned revision that is there needs no request"
    );
}

#[test]
fn a_download_cut_in_the_middle_goes_on_from_there() {
    let (server, cache, content) = scene();
    server.fault("/cdn/", Fault::CloseOnce(50_000));
    let path = fetch(&hub(&server, cache.path())).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content);
    let gets = server.gets("/cdn/");
    assert_eq!((gets[0].range.as_deref(), gets[1].range.as_deref()), (None, Some("bytes=50000-")));
    assert_eq!(sent(&server), content.len(), "no byte went out twice");
}

#[test]
fn a_download_that_was_given_up_goes_on_in_the_next_process() {
    let (server, cache, content) = scene();
    server.fault("/cdn/", Fault::Truncate(50_000));
    let message = fetch(&hub(&server, cache.path())).unwrap_err().to_string();
    assert!(
        message.contains("stopped after 50000 of 120000 bytes")
            && message.contains("goes on from there"),
        "{message}"
    );
    server.heal();
    let path = fetch(&hub(&server, cache.path())).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content);
    assert_eq!(sent(&server), content.len());
}

#[test]
fn a_renamed_repository_is_followed_with_the_token() {
    let (server, cache, content) = scene();
    server.small("datasets/owner/set/README.md", b"read me");
    let hub = server.hub(cache.path(), Some(TOKEN), false);
    for (file, expected) in [(FILE, content.as_slice()), ("README.md", b"read me".as_slice())] {
        let path = hub.dataset_file("old/set", COMMIT, file, None, &|_, _| {}).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), expected);
    }
    assert!(
        server.seen().iter().all(|s| s.token != s.path.starts_with("/cdn/")),
        "{:?}",
        server.seen()
    );
}

#[test]
fn a_server_without_ranges_sends_all_of_it_again() {
    let (server, cache, content) = scene();
    server.fault("/cdn/", Fault::Truncate(50_000));
    fetch(&hub(&server, cache.path())).unwrap_err();
    server.heal();
    server.fault("/cdn/", Fault::NoRange);
    assert_eq!(std::fs::read(fetch(&hub(&server, cache.path())).unwrap()).unwrap(), content);
    assert_eq!(sent(&server), content.len() + 50_000);
}

#[test]
fn a_silent_server_is_given_up_after_a_few_tries() {
    let (server, cache, _) = scene();
    server.fault("/cdn/", Fault::Stall(40_000));
    let start = Instant::now();
    let impatient = |endpoint: &str| {
        Hub::new(
            Client::new(endpoint, None, Duration::from_millis(400), Duration::ZERO),
            cache.path().into(),
            false,
        )
    };
    let message = fetch(&impatient(&server.endpoint)).unwrap_err().to_string();
    assert!(
        message.contains("after 40000 of 120000 bytes: nothing came for 0.4 s (3 tries"),
        "{message}"
    );
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    // Silent before the first byte of an answer, too.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = impatient(&format!("http://{}", listener.local_addr().unwrap()));
    let message = fetch(&silent).unwrap_err().to_string();
    assert!(
        message.contains("cannot reach http://127.0.0.1")
            && message.contains("nothing came for 0.4 s (3 tries)"),
        "{message}"
    );
    drop(listener);
    let message = fetch(&silent).unwrap_err().to_string();
    assert!(message.contains("refused") && message.contains("HF_HUB_OFFLINE"), "{message}");
}

#[test]
fn what_does_not_exist_is_named() {
    let (server, cache, _) = scene();
    let hub = hub(&server, cache.path());
    let error = |file: &str| {
        hub.dataset_file(REPO, COMMIT, file, None, &|_, _| {}).unwrap_err().to_string()
    };
    let message = error("no.parquet");
    assert!(
        message.contains("/datasets/owner/set/resolve/0123")
            && message.contains("no such file")
            && message.contains("/datasets/owner/set/tree/main"),
        "{message}"
    );
    server.fault("/datasets/", Fault::Status(404, "RevisionNotFound"));
    assert!(error(FILE).contains("no such revision"));
    server.fault("/datasets/", Fault::Status(404, "RepoNotFound"));
    assert!(error(FILE).contains("no such repository"));
    let message = error("../../../etc/passwd");
    assert!(message.contains("`../../../etc/passwd` cannot be the name of a file"), "{message}");
}

#[test]
fn a_refusal_says_to_log_in_or_to_accept_the_terms() {
    let (server, cache, _) = scene();
    server.fault("/datasets/", Fault::Status(401, "GatedRepo"));
    let message = fetch(&hub(&server, cache.path())).unwrap_err().to_string();
    assert!(
        message.contains("(401: said by the hub): set HF_TOKEN")
            && message.contains("accept its terms at http://127.0.0.1"),
        "{message}"
    );
    server.fault("/datasets/", Fault::Status(403, "GatedRepo"));
    let message = fetch(&server.hub(cache.path(), Some(TOKEN), false)).unwrap_err().to_string();
    assert!(
        message.contains("accept its terms at http://127.0.0.1")
            && message.contains("/datasets/owner/set, with the account"),
        "{message}"
    );
    assert_eq!(server.seen().len(), 2, "no try can help");
    server.fault("/datasets/", Fault::Status(503, ""));
    let message = fetch(&hub(&server, cache.path())).unwrap_err().to_string();
    assert!(message.contains("the server answered 503: said by the hub (3 tries)"), "{message}");
}

#[test]
fn wrong_bytes_are_removed_and_told_by_both_checksums() {
    let (server, cache, content) = scene();
    server.fault("/cdn/", Fault::Garble);
    let message = fetch(&hub(&server, cache.path())).unwrap_err().to_string();
    let mut garbled = content.clone();
    garbled[60_000] ^= 1;
    assert!(
        message.contains(&format!(
            "expected sha256 {}, found {}",
            sha256(&content),
            sha256(&garbled)
        )),
        "{message}"
    );
    assert!(leftovers(cache.path()).is_empty());
    server.heal();
    fetch(&hub(&server, cache.path())).unwrap();
    // The registry meant another file than the hub has: nothing is fetched or removed for that.
    let before = sent(&server);
    let other = || {
        hub(&server, cache.path())
            .dataset_file(REPO, COMMIT, FILE, Some(&sha256(b"other")), &|_, _| {})
            .unwrap_err()
            .to_string()
    };
    assert!(other().contains("another was meant"), "{}", other());
    assert_eq!((sent(&server), leftovers(cache.path()).len()), (before, 1));
}

#[test]
fn bytes_damaged_on_disk_are_fetched_again() {
    let (server, cache, content) = scene();
    let hub = hub(&server, cache.path());
    // Half of a file, from a machine that lost its power.
    server.fault("/cdn/", Fault::Truncate(50_000));
    fetch(&hub).unwrap_err();
    server.heal();
    let part =
        cache.path().join(format!("datasets--owner--set/blobs/{}.incomplete", sha256(&content)));
    std::fs::write(&part, vec![0; 50_000]).unwrap();
    let path = fetch(&hub).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), content);
    // A whole one, too, where its checksum is known.
    std::fs::write(&path, vec![0; content.len()]).unwrap();
    let known = |offline| {
        server.hub(cache.path(), None, offline).dataset_file(
            REPO,
            COMMIT,
            FILE,
            Some(&sha256(&content)),
            &|_, _| {},
        )
    };
    assert_eq!(std::fs::read(known(false).unwrap()).unwrap(), content);
    std::fs::write(&path, vec![0; content.len()]).unwrap();
    let message = known(true).unwrap_err().to_string();
    assert!(
        message.contains("removed from the cache; download it again, without --offline"),
        "{message}"
    );
}

#[test]
fn offline_uses_the_cache_and_says_what_it_lacks() {
    let (server, cache, _) = scene();
    let offline = server.hub(cache.path(), None, true);
    let message = fetch(&offline).unwrap_err().to_string();
    assert!(
        message.contains(&format!("{FILE} of owner/set at revision {COMMIT}"))
            && message.contains("without HF_HUB_OFFLINE"),
        "{message}"
    );
    assert!(message.contains(&cache.path().display().to_string()), "{message}");
    assert!(
        offline
            .run("owner/run", None, &|_, _| {})
            .unwrap_err()
            .to_string()
            .contains("the run owner/run at revision main")
    );
    assert!(
        offline
            .push("owner/run", true, &[], "")
            .unwrap_err()
            .to_string()
            .contains("without HF_HUB_OFFLINE")
    );
    assert!(server.seen().is_empty());
    hub(&server, cache.path()).dataset_file(REPO, "main", FILE, None, &|_, _| {}).unwrap();
    fetch(&offline).unwrap();
    offline.dataset_file(REPO, "main", FILE, None, &|_, _| {}).unwrap();
}

#[test]
fn two_downloads_at_a_time_share_one() {
    let (server, cache, content) = scene();
    let paths: Vec<PathBuf> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| fetch(&hub(&server, cache.path())).unwrap())).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(paths.iter().all(|p| std::fs::read(p).unwrap() == content));
    assert_eq!(sent(&server), content.len());
    assert_eq!(leftovers(cache.path()).len(), 1);
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let (server, cache, content) = scene();
    let file = cache.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let message = fetch(&hub(&server, &file)).unwrap_err().to_string();
    assert!(
        message.contains("cannot write")
            && message.contains("set HF_HUB_CACHE to a folder that you may write to"),
        "{message}"
    );
    if cfg!(target_os = "linux") {
        let blobs = cache.path().join("datasets--owner--set/blobs");
        std::fs::create_dir_all(&blobs).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(
            "/dev/full",
            blobs.join(format!("{}.incomplete", sha256(&content))),
        )
        .unwrap();
        let message = fetch(&hub(&server, cache.path())).unwrap_err().to_string();
        assert!(
            message.contains("120000 more bytes were needed; free some space, or set HF_HUB_CACHE"),
            "{message}"
        );
    }
}

#[test]
fn a_run_is_fetched_whole() {
    let (server, cache, _) = scene();
    server.run(&content());
    server.fault("/cdn/owner", Fault::Truncate(10));
    hub(&server, cache.path()).run("owner/run", None, &|_, _| {}).unwrap_err();
    let offline = server.hub(cache.path(), None, true);
    assert!(
        matches!(offline.run("owner/run", Some(COMMIT), &|_, _| {}), Err(HubError::Offline { .. })),
        "half a run is none"
    );
    server.heal();
    let last = Cell::new((0, 0));
    let folder = hub(&server, cache.path())
        .run("owner/run", None, &|done, total| last.set((done, total)))
        .unwrap();
    assert_eq!(last.get(), (120_009, 120_009));
    assert_eq!(std::fs::read(folder.join("config.yaml")).unwrap(), b"name: run");
    assert_eq!(std::fs::read(folder.join("README.md")).unwrap(), b"");
    assert_eq!(std::fs::read(folder.join("model/best.safetensors")).unwrap(), content());
    assert!(!folder.join(".gitattributes").exists());
    let before = server.seen().len();
    assert_eq!(offline.run("owner/run", None, &|_, _| {}).unwrap(), folder);
    assert_eq!(
        hub(&server, cache.path()).run("owner/run", Some(COMMIT), &|_, _| {}).unwrap(),
        folder
    );
    assert_eq!(server.seen().len(), before);
}

#[test]
fn a_listing_cannot_write_outside_the_cache() {
    let (server, cache, _) = scene();
    server.run(&content());
    server.list("../../evil");
    let message =
        hub(&server, cache.path()).run("owner/run", None, &|_, _| {}).unwrap_err().to_string();
    assert!(message.contains("`../../evil` cannot be the name of a file"), "{message}");
    assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn a_repository_that_is_no_run_is_refused() {
    let (server, cache, _) = scene();
    server.small("owner/other/README.md", b"x");
    let message =
        hub(&server, cache.path()).run("owner/other", None, &|_, _| {}).unwrap_err().to_string();
    assert!(
        message.contains("/owner/other is no run of atypical: it has no config.yaml"),
        "{message}"
    );
}

fn files(folder: &Path) -> Vec<(String, Content)> {
    let weights = folder.join("weights");
    std::fs::write(&weights, content()).unwrap();
    vec![
        ("config.yaml".into(), Content::Bytes(b"name: run".to_vec())),
        ("model/best.safetensors".into(), Content::File(weights)),
    ]
}

#[test]
fn a_run_is_published_in_one_commit() {
    let (server, cache, content) = scene();
    let hub = server.hub(cache.path(), Some(TOKEN), false);
    let url = hub.push("me/run", true, &files(cache.path()), "a run").unwrap();
    assert_eq!(url, format!("{}/me/run/commit/{COMMIT}", server.endpoint));
    assert_eq!(server.is_private("me/run"), Some(true));
    assert_eq!(server.objects()[&sha256(&content)], content);
    let commit = server.commit();
    assert_eq!(commit[0]["value"]["summary"], "a run");
    let text = BASE64.decode(commit[1]["value"]["content"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&commit[1]["key"], &commit[1]["value"]["path"], text.as_slice()),
        (&"file".into(), &"config.yaml".into(), b"name: run".as_slice())
    );
    assert_eq!(
        (&commit[2]["key"], &commit[2]["value"]["oid"]),
        (&"lfsFile".into(), &sha256(&content).into())
    );
    // The storage takes no body of unknown length.
    let puts = |server: &Loopback| {
        server.seen().into_iter().filter(|s| s.method == "PUT").collect::<Vec<_>>()
    };
    assert!(puts(&server).iter().all(|s| !s.chunked));
    // Again: the repository is there, and the weights.
    hub.push("me/run", true, &files(cache.path()), "again").unwrap();
    assert_eq!(
        (puts(&server).len(), server.commit()[0]["value"]["summary"].clone()),
        (1, "again".into())
    );
}

#[test]
fn large_files_are_published_in_parts_where_the_hub_wants_that() {
    let (server, cache, content) = scene();
    server.chunk(50_000);
    server
        .hub(cache.path(), Some(TOKEN), false)
        .push("me/run", false, &files(cache.path()), "a run")
        .unwrap();
    assert_eq!(server.objects()[&sha256(&content)], content);
    assert_eq!(server.seen().iter().filter(|s| s.method == "PUT").count(), 3);
}

#[test]
fn publishing_needs_a_token_that_may_write() {
    let (server, cache, _) = scene();
    let push = |token, repo: &str, private| {
        server
            .hub(cache.path(), token, false)
            .push(repo, private, &files(cache.path()), "x")
            .unwrap_err()
            .to_string()
    };
    let message = push(None, "me/run", true);
    assert!(message.contains("set HF_TOKEN, or log in with `hf auth login`"), "{message}");
    assert!(server.seen().is_empty());
    let message = push(Some("hf_other"), "me/run", true);
    assert!(
        message.contains("(401: Invalid credentials)")
            && message.contains("HF_TOKEN")
            && !message.contains("hf_other"),
        "{message}"
    );
    server.model("me/public", false);
    let message = push(Some(TOKEN), "me/public", true);
    assert!(
        message.contains("exists already and is public") && message.contains("/me/public/settings"),
        "{message}"
    );
    server.fault("/commit/main", Fault::Status(500, ""));
    let message = push(Some(TOKEN), "me/public", false);
    assert!(
        message.contains("whether the commit was made is to be seen at")
            && server.commit().is_empty(),
        "{message}"
    );
}

#[test]
fn a_token_for_one_repository_publishes_there() {
    let (server, cache, _) = scene();
    server.fault("/api/repos/create", Fault::Status(403, ""));
    let hub = server.hub(cache.path(), Some(TOKEN), false);
    let message = hub.push("me/run", true, &files(cache.path()), "x").unwrap_err().to_string();
    assert!(message.contains("/api/repos/create (403"), "{message}");
    server.model("me/run", true);
    hub.push("me/run", true, &files(cache.path()), "x").unwrap();
}

#[test]
fn the_environment_is_read_as_python_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), " hf_file\n").unwrap();
    let home = folder.path().to_str().unwrap().to_owned();
    let read = |set: &[(&str, &str)]| {
        let set: Vec<(String, String)> =
            set.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Hub::from_variables(false, move |name| {
            set.iter().find(|(k, _)| k == name).map(|(_, v)| v.into())
        })
    };
    let hub = read(&[("HOME", "/nowhere"), ("HF_TOKEN", "")]).unwrap();
    assert_eq!(
        (hub.client.endpoint.as_str(), hub.client.token.as_deref(), hub.offline),
        ("https://huggingface.co", None, false)
    );
    assert_eq!(hub.cache, Path::new("/nowhere/.cache/huggingface/hub"));
    let hub =
        read(&[("HF_HOME", &home), ("HF_ENDPOINT", "http://mirror/"), ("HF_HUB_OFFLINE", "1")])
            .unwrap();
    assert_eq!(
        (hub.client.endpoint.as_str(), hub.client.token.as_deref(), hub.offline),
        ("http://mirror", Some("hf_file"), true)
    );
    assert_eq!(hub.cache, folder.path().join("hub"));
    assert!(!format!("{hub:?}").contains("hf_file"), "the token is not for logs");
    let hub =
        read(&[("HF_HOME", &home), ("HF_TOKEN", "hf_set"), ("HF_HUB_CACHE", "/cache")]).unwrap();
    assert_eq!(
        (hub.client.token.as_deref(), hub.cache.as_path()),
        (Some("hf_set"), Path::new("/cache"))
    );
    let error = |set| read(set).unwrap_err().to_string();
    assert!(error(&[("HF_ENDPOINT", "mirror")]).contains("HF_ENDPOINT is `mirror`: write a URL"));
    assert!(error(&[("HF_HUB_DOWNLOAD_TIMEOUT", "soon")]).contains("write seconds"));
    assert!(!error(&[("HF_TOKEN", "hf a")]).contains("hf a"));
}
