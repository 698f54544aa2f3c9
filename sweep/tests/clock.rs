//! Agents' clocks do not matter, by construction.

#[test]
fn no_clock_but_the_stores_is_read() {
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let mut files = 0;
    for file in std::fs::read_dir(sources).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("SystemTime"), "{}: times are the store's", path.display());
        files += 1;
    }
    assert!(files > 5);
}
