//! A guess at a name that was mistyped.

/// "did you mean `x`? " with the most similar of the names, if any is similar.
pub fn did_you_mean(word: &str, names: &[&str]) -> String {
    names
        .iter()
        .map(|name| (strsim::jaro_winkler(word, name), name))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(String::new(), |(_, name)| format!("did you mean `{name}`? "))
}
