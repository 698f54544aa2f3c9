//! JSON Schema of a configuration, for editors.

use super::Section;
use serde_json::Value as Json;

/// Schema of a section as the loader reads it: a tagged mapping with a default kind may leave its tag out.
pub fn schema<T: Section>() -> Json {
    let mut schema = schemars::schema_for!(T).to_value();
    for (path, kind) in T::DEFAULT_TAGS {
        let keys: Vec<&str> = path.split('.').collect();
        if let Some((tag, section)) = keys.split_last()
            && let Some(place) = section_pointer(&schema, section)
            && let Some(mapping) = schema.pointer_mut(&place)
        {
            make_optional(mapping, tag, kind);
        }
    }
    schema
}

/// JSON pointer to the definition of the mapping at a key path.
fn section_pointer(schema: &Json, section: &[&str]) -> Option<String> {
    section.iter().try_fold(String::new(), |place, key| {
        let place = format!("{place}/properties/{key}");
        let reference = schema.pointer(&place)?.get("$ref")?.as_str()?;
        Some(reference.trim_start_matches('#').to_owned())
    })
}

/// Among the variants, that of `kind` does not require the tag.
fn make_optional(mapping: &mut Json, tag: &str, kind: &str) {
    for variant in mapping["oneOf"].as_array_mut().into_iter().flatten() {
        if variant["properties"][tag]["const"] == kind
            && let Some(required) = variant["required"].as_array_mut()
        {
            required.retain(|key| key != tag);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{OodConfig, TrainConfig};

    /// Which kinds of a definition require their tag.
    fn requires(definition: &Json) -> Vec<(&str, bool)> {
        let requires =
            |v: &Json| v["required"].as_array().is_some_and(|r| r.contains(&"kind".into()));
        let variants = definition["oneOf"].as_array().unwrap();
        variants
            .iter()
            .map(|v| (v["properties"]["kind"]["const"].as_str().unwrap(), requires(v)))
            .collect()
    }

    #[test]
    fn a_default_kind_may_be_left_out() {
        let train = schema::<TrainConfig>();
        assert_eq!(requires(&train["$defs"]["Optimizer"]), [("adam_w", false)]);
        assert_eq!(
            requires(&train["$defs"]["Scheduler"]),
            [("constant", true), ("cosine", true), ("exponential", false), ("one_cycle", true)]
        );
        let ood = schema::<OodConfig>();
        assert_eq!(
            requires(&ood["$defs"]["Scale"]),
            [("fixed", true), ("plateau", true), ("calibrated", false)]
        );
    }
}
