//! Names that come from users, registries and listings: none may lead out of the cache or of the URL.

use super::HubError;
use std::path::{Component, Path};

/// Models or data sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Model,
    Dataset,
}

impl Kind {
    pub fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }

    /// What its pages begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Dataset => "datasets/",
        }
    }
}

/// `owner/name`, or the `name` of an old repository.
pub(super) fn repo(name: &str) -> Result<(), HubError> {
    let part = |part: &str| {
        let safe = part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        safe && !part.is_empty()
            && !part.starts_with(['.', '-'])
            && !part.contains("..")
            && !part.contains("--")
    };
    if name.split('/').count() <= 2 && name.split('/').all(part) {
        return Ok(());
    }
    Err(HubError::Name { what: "repository", name: name.to_owned(), problem: PROBLEM })
}

/// What a repository's name is.
const PROBLEM: &str = "write owner/name, of letters, digits, `-`, `_` and `.`";

/// A model repository, which has an owner: some data sets of old have none.
pub(super) fn model(name: &str) -> Result<(), HubError> {
    repo(if name.contains('/') { name } else { "" }).map_err(|_| HubError::Name {
        what: "repository",
        name: name.to_owned(),
        problem: PROBLEM,
    })
}

/// A branch, a tag or a commit.
pub(super) fn revision(name: &str) -> Result<(), HubError> {
    let problem = "write a branch, a tag or the 40 hexadecimal digits of a commit";
    if inside(name) {
        Ok(())
    } else {
        Err(HubError::Name { what: "revision", name: name.to_owned(), problem })
    }
}

/// A file of a repository.
pub(super) fn file(name: &str) -> Result<(), HubError> {
    let problem = "a file lies inside its repository, so its name has no `..`, `\\` or `:` and does not begin with `/`";
    if inside(name) {
        Ok(())
    } else {
        Err(HubError::Name { what: "file", name: name.to_owned(), problem })
    }
}

/// Whether a path stays in its folder, on any system.
fn inside(name: &str) -> bool {
    let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    // Written plainly, too: `a//b` and `a/./b` would be the same file under another name.
    plain
        && name.split('/').all(|part| !part.is_empty() && part != ".")
        && !name.contains(['\\', ':'])
        && !name.contains(char::is_control)
}

/// Whether a revision cannot move: the hash of a commit.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && is_hex(revision)
}

/// Whether a text is a sha256, as the hub names files by.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A name in a URL; the bytes of `keep` stay as they are.
pub(super) fn encode(name: &str, keep: &str) -> String {
    name.bytes()
        .map(|b| {
            let plain =
                b.is_ascii_alphanumeric() || b"-._~".contains(&b) || keep.as_bytes().contains(&b);
            if plain { char::from(b).to_string() } else { format!("%{b:02X}") }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["ylecun/mnist", "gpt2", "a.b/c_d-e"] {
            repo(name).unwrap();
        }
        for name in ["", "a/b/c", "../b", "a/..", "a b/c", "a/", "/a", "a/b?c", "a--b/c"] {
            assert!(repo(name).unwrap_err().to_string().contains("write owner/name"), "{name}");
        }
        for name in ["a", "", "../b", "a/b/c"] {
            assert!(model(name).unwrap_err().to_string().contains("write owner/name"), "{name}");
        }
        model("a/b").unwrap();
        for name in ["config.yaml", "model/best.safetensors", "a/b c.txt", "..a"] {
            file(name).unwrap();
        }
        for name in
            ["", "../x", "a/../../x", "/etc/passwd", "a//b", "./a", "a\\..\\b", "C:x", "a\nb"]
        {
            assert!(
                file(name).unwrap_err().to_string().contains("inside its repository"),
                "{name}"
            );
        }
        revision("refs/pr/1").unwrap();
        assert!(revision("../main").is_err());
    }

    #[test]
    fn odd_characters_are_encoded() {
        assert_eq!(encode("a b/ü#?.txt", "/"), "a%20b/%C3%BC%23%3F.txt");
        assert_eq!(encode("refs/pr/1", ""), "refs%2Fpr%2F1");
        assert_eq!(encode("img_align+identity/x.parquet", "/"), "img_align%2Bidentity/x.parquet");
    }
}
