//! Nested settings under dotted keys.

use serde_json::Value;

/// `{"model": {"bins": 8}, "lr": [1, 2]}` is `model.bins = 8`, `lr = [1,2]`. Texts come without quotes.
pub fn flatten(config: &Value) -> Vec<(String, String)> {
    let mut flat = Vec::new();
    walk(String::new(), config, &mut flat);
    flat
}

fn walk(key: String, value: &Value, flat: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, value) in map {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                walk(key, value, flat);
            }
        }
        _ if key.is_empty() => {}
        Value::String(text) => flat.push((key, text.clone())),
        other => flat.push((key, other.to_string())),
    }
}
