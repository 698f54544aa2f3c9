//! The artifact that W&B makes of a table: a version of `run-ID-KEY` with one file, the table and the types of its columns.
//!
//! The service numbers the versions. Until it has, a version goes by an id that its writer made up, and that the values in a row refer to.

use super::{
    log::CRC,
    media::{hex, rows},
};
use crate::{Cell, RunInfo, Table, TrackError, names};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use md5::{Digest, Md5};
use serde_json::{Value, json};
use sha2::Sha512;
use std::path::Path;

/// The longest name that W&B takes.
const LONGEST_NAME: usize = 128;

/// A version of an artifact.
pub struct Artifact {
    pub name: String,
    /// The file's path within it, and what the file says.
    pub path: String,
    pub contents: Vec<u8>,
    /// By which this version is referred to, and by which the latest of all versions is.
    pub id: String,
    pub sequence: String,
}

impl Artifact {
    /// Of what is logged under a name by a record of a session: when the session began, and how many records are before it. From that
    /// come ids that no other record of any session has; as W&B's own, which are random, they have 128 characters.
    pub fn new(
        run: &RunInfo,
        record: (u64, u64),
        name: &str,
        table: &Table,
    ) -> Result<Self, TrackError> {
        let path = format!("{}.table.json", names::parts(Path::new(name))?.join("/"));
        let contents = json(table).into_bytes();
        let id = |what: &str| {
            let run = (&run.entity, &run.project, &run.id);
            hex(&Sha512::digest(format!("{what} {run:?} {record:?} {name}")))
        };
        let (id, sequence) = (id("version"), id("sequence"));
        let name = plain(&format!("run-{}-{name}", run.id));
        Ok(Self { name, path, contents, id, sequence })
    }

    /// The digest of its file.
    pub fn file_digest(&self) -> String {
        BASE64_STANDARD.encode(Md5::digest(&self.contents))
    }

    /// The digest of its manifest: versions with the same files are the same version.
    pub fn digest(&self) -> String {
        manifest_digest(&self.path, &self.file_digest())
    }

    /// How a value in a row refers to it, as JSON.
    pub fn fields(&self) -> [(&'static str, String); 2] {
        let Self { path, id, sequence, .. } = self;
        let link = |to| Value::from(format!("wandb-client-artifact://{to}/{path}")).to_string();
        [
            ("artifact_path", link(id.clone())),
            ("_latest_artifact_path", link(format!("{sequence}:latest"))),
        ]
    }
}

/// A name of those characters that one may have. Where that is another, a checksum keeps it apart from the like.
fn plain(name: &str) -> String {
    let checksum = BASE64_URL_SAFE_NO_PAD.encode(CRC.checksum(name.as_bytes()).to_be_bytes());
    let allowed = |c: &char| c.is_ascii_alphanumeric() || "_-.".contains(*c);
    let plain = name.chars().filter(allowed).take(LONGEST_NAME - 1 - checksum.len());
    let plain = String::from_iter(plain);
    if plain == name { plain } else { format!("{plain}-{checksum}") }
}

fn manifest_digest(path: &str, file_digest: &str) -> String {
    let manifest = format!("wandb-artifact-manifest-v1\n{path}:{file_digest}\n");
    hex(&Md5::digest(manifest))
}

/// A table as it is in an artifact: unlike that among the run's files, a NaN is a missing value.
fn json(table: &Table) -> String {
    let types = table.columns.iter().enumerate().map(|(column, name)| {
        let cells = table.rows.iter().filter_map(move |row| row.get(column));
        (name.clone(), column_type(cells))
    });
    let types =
        json!({ "wb_type": "typedDict", "params": { "type_map": Value::from_iter(types) } });
    format!(
        "{{\"_type\":\"table\",\"column_types\":{types},\"columns\":{},\"data\":{},\
         \"log_mode\":\"IMMUTABLE\",\"ncols\":{},\"nrows\":{}}}",
        Value::from(table.columns.clone()),
        rows(table, "null"),
        table.columns.len(),
        table.rows.len()
    )
}

/// What is in a column, where there is not nothing.
fn column_type<'a>(cells: impl Iterator<Item = &'a Cell>) -> Value {
    let (mut numbers, mut texts) = (false, false);
    for cell in cells {
        match cell {
            Cell::Number(number) => numbers |= !number.is_nan(),
            Cell::Text(_) => texts = true,
        }
    }
    let types = match (numbers, texts) {
        (true, true) => ["any", "none"],
        (true, false) => ["none", "number"],
        (false, true) => ["none", "string"],
        (false, false) => ["none", "unknown"],
    };
    let types = types.map(|name| json!({ "wb_type": name }));
    json!({ "wb_type": "union", "params": { "allowed_types": types } })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As wandb 0.31 names and digests what it writes.
    #[test]
    fn names_and_digests_are_those_of_the_python_client() {
        assert_eq!(plain("run-a_b.c-ood"), "run-a_b.c-ood");
        assert_eq!(plain("run-ref1-eval/ood"), "run-ref1-evalood-tIV6bA");
        assert_eq!(plain("run-ref2-a b"), "run-ref2-ab-n4N2rg");
        let digest = manifest_digest("eval/ood.table.json", "0Az8ru+fWa3z7A0hPK+yEg==");
        assert_eq!(digest, "bbb0d205696f4a20087f363fc1154add");
        assert_eq!(plain(&"a/".repeat(200)).len(), LONGEST_NAME);
    }

    #[test]
    fn columns_have_types() {
        let (nan, one, text) = (Cell::from(f64::NAN), Cell::from(1.0), Cell::from("1"));
        for (cells, types) in [
            (vec![&nan, &one], ["none", "number"]),
            (vec![&text], ["none", "string"]),
            (vec![&text, &one], ["any", "none"]),
            (vec![&nan], ["none", "unknown"]),
            (vec![], ["none", "unknown"]),
        ] {
            let found = column_type(cells.into_iter());
            let names = [0, 1].map(|i| found["params"]["allowed_types"][i]["wb_type"].clone());
            assert_eq!(names, types);
        }
    }
}
