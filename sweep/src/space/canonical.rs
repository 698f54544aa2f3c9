//! One text for every JSON value, and its digest.

use serde_json::{Number, Value};
use sha2::{Digest, Sha256};

/// Name of a configuration: the SHA-256 of its canonical JSON, 64 hexadecimal digits. Configurations that are equal as JSON have the same:
/// the order of keys and the way a number is written (`1`, `1.0`, `1e0`; `0`, `-0.0`) make no difference, the order of lists does. Numbers
/// are the same only if they are equal: whole numbers are compared exactly, also where an `f64` would not tell two of them apart.
pub fn content_address(value: &Value) -> String {
    Sha256::digest(text(value)).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first 12 digits of an address, for people.
pub fn short_id(address: &str) -> &str {
    address.get(..12).unwrap_or(address)
}

/// JSON without spaces, keys sorted by their bytes, whole numbers without a point, others as short as reads back the same.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => value.to_string(),
        Value::Number(number) => number_text(number),
        Value::Array(items) => format!("[{}]", join(items.iter().map(text))),
        Value::Object(entries) => {
            // Whether a map is sorted depends on a feature of serde_json that any other crate may switch on.
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let entry = |(key, value): (&String, &Value)| {
                format!("{}:{}", Value::from(key.as_str()), text(value))
            };
            format!("{{{}}}", join(entries.into_iter().map(entry)))
        }
    }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < u64::MAX as f64 => {
            (float as i128).to_string()
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn an_address_is_the_digest_of_canonical_json() {
        // Digests by `printf '%s' TEXT | sha256sum`.
        assert_eq!(
            content_address(&json!({})),
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
        let value = parsed(r#"{ "b": [1.0, 2.5e-3, "ä\n"], "a": {"y": null, "x": true} }"#);
        assert_eq!(text(&value), r#"{"a":{"x":true,"y":null},"b":[1,0.0025,"ä\n"]}"#);
        assert_eq!(
            content_address(&value),
            "5025d1c53c801153e8547ba69ad54ae7af7aa7f62ef4a220fbf92fb271b57752"
        );
        assert_eq!(short_id(&content_address(&json!({}))), "44136fa355b3");
    }

    #[test]
    fn equal_numbers_have_one_text_and_others_do_not() {
        for [a, b] in [
            ["1", "1.0"],
            ["1", "1e0"],
            ["0", "-0.0"],
            ["100", "1E+2"],
            ["9223372036854775808", "9223372036854775808.0"],
            ["0.001", "1e-3"],
        ] {
            assert_eq!(content_address(&parsed(a)), content_address(&parsed(b)), "{a} {b}");
        }
        // The first two are one f64.
        for [a, b] in [
            ["9007199254740993", "9007199254740992.0"],
            ["1", "1.0000000000000002"],
            ["1", "\"1\""],
            ["-1", "1"],
            ["18446744073709551615", "18446744073709551616"],
        ] {
            assert_ne!(content_address(&parsed(a)), content_address(&parsed(b)), "{a} {b}");
        }
    }
}
