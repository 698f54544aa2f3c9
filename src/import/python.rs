//! The few lines of Python in the reference's sweeps, known by how they read. They are never run.

use serde_json::{Map, Value};

/// What such lines come to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Known {
    /// `get_generated_config(conf)`: samples of the model at hand as data.
    Generated,
    /// `change_coupling_layers(conf, 'CLASS', additional_args = {…})`: the configuration with other couplings.
    Couplings {
        /// Their class in `nflows.transforms`.
        class: String,
        /// What the class gets besides its network and its mask.
        arguments: Map<String, Value>,
    },
    /// `conf['a']['b']`: what the configuration has there.
    Value(Vec<String>),
}

/// What `{expression: …, function_of_interest: …}` comes to: imports, one function, and in it one `return` of something known.
pub(super) fn known(code: &Value) -> Option<Known> {
    let (code, function) = (code["expression"].as_str()?, code["function_of_interest"].as_str()?);
    let (head, value) = code.split_once("return")?;
    let lines =
        head.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (imports, rest): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with("from "));
    let [definition] = rest[..] else { return None };
    let argument = definition
        .strip_prefix("def ")?
        .strip_prefix(function)?
        .strip_prefix('(')?
        .strip_suffix("):")?;
    let value = value.trim();
    if let Some(keys) = value.strip_prefix(argument).filter(|rest| rest.starts_with('[')) {
        return keys_of(keys).map(Known::Value);
    }
    if !imports.iter().any(|line| line.starts_with("from meta_configurations import ")) {
        return None;
    }
    let (called, value) = value.split_once('(')?;
    let rest = value.trim_start().strip_prefix(argument)?.strip_suffix(')')?.trim();
    match called {
        "get_generated_config" => rest.is_empty().then_some(Known::Generated),
        "change_coupling_layers" => {
            let (class, rest) = quoted(rest.strip_prefix(',')?.trim_start())?;
            let rest = rest.trim().trim_matches(',').trim();
            let arguments = match rest {
                "" => Map::new(),
                // A dictionary of numbers and texts reads the same in YAML.
                rest => {
                    let rest = rest.strip_prefix("additional_args")?.trim_start();
                    serde_saphyr::from_str(rest.strip_prefix('=')?).ok()?
                }
            };
            Some(Known::Couplings { class: class.to_owned(), arguments })
        }
        _ => None,
    }
}

/// `['a']['b']`, one key at the least.
fn keys_of(mut text: &str) -> Option<Vec<String>> {
    let mut keys = Vec::new();
    while let Some(rest) = text.strip_prefix('[') {
        let (key, rest) = quoted(rest)?;
        keys.push(key.to_owned());
        text = rest.strip_prefix(']')?;
    }
    (text.is_empty() && !keys.is_empty()).then_some(keys)
}

/// A text in quotes of either kind, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| ['\'', '"'].contains(c))?;
    text[1..].split_once(quote)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(expression: &str) -> Option<Known> {
        known(&json!({"expression": expression, "function_of_interest": "f"}))
    }

    #[test]
    fn what_is_known_is_read() {
        let import = "from meta_configurations import *\n";
        let code =
            format!("{import}\ndef f(conf):\n  # samples\n  return get_generated_config(conf)\n");
        assert_eq!(read(&code), Some(Known::Generated));
        let code = format!(
            "{import}def f(c):\n  return  change_coupling_layers(\n    c, \n    'Spline',\n    additional_args = {{\n      'tails': 'linear',\n      'num_bins': 8,\n      'tail_bound': 1.5,\n    }}\n  )\n"
        );
        let arguments = json!({"tails": "linear", "num_bins": 8, "tail_bound": 1.5});
        let arguments = arguments.as_object().unwrap().clone();
        assert_eq!(read(&code), Some(Known::Couplings { class: "Spline".into(), arguments }));
        let code = format!("{import}def f(c):\n  return change_coupling_layers(c, \"Affine\")");
        let arguments = Map::new();
        assert_eq!(read(&code), Some(Known::Couplings { class: "Affine".into(), arguments }));
        let keys = ["data", "dataset"].map(String::from).to_vec();
        assert_eq!(
            read("def f(conf):\n  return conf['data'][\"dataset\"]"),
            Some(Known::Value(keys))
        );
    }

    #[test]
    fn all_else_is_not() {
        let import = "from meta_configurations import *\n";
        for code in [
            "def f(conf):\n  return get_generated_config(conf)".to_owned(),
            format!("{import}def g(conf):\n  return get_generated_config(conf)"),
            format!("{import}def f(conf):\n  return get_generated_config(conf['a'])"),
            format!("{import}def f(conf):\n  conf['a'] = 1\n  return get_generated_config(conf)"),
            format!("{import}def f(conf):\n  return remove(conf)"),
            format!("{import}def f(conf):\n  return change_coupling_layers(conf, 'A', other=1)"),
            "def f(conf):\n  return conf".to_owned(),
            "def f(conf):\n  return conf['a'] * 10".to_owned(),
            "def f(conf):\n  return conf['a".to_owned(),
            "import os\ndef f(conf):\n  return conf['a']".to_owned(),
            String::new(),
        ] {
            assert_eq!(read(&code), None, "{code}");
        }
        assert_eq!(known(&json!("lambda conf: 1")), None);
    }
}
