//! Names of what files hold, known in whatever case: columns, and arrays of an npz archive.

/// What holds pictures, the likeliest first.
pub(super) const PICTURES: [&str; 4] = ["image", "img", "images", "pixels"];

/// What holds vectors, the likeliest first: columns of lists, arrays.
pub(super) const FEATURES: [&str; 5] = ["features", "embeddings", "embedding", "vectors", "vector"];

/// What holds labels, the likeliest first.
pub(super) const LABELS: [&str; 3] = ["label", "labels", "fine_label"];

/// What holds labels of vectors if its values are integers, the likeliest first; other numbers of these names are data.
pub(super) const TARGETS: [&str; 4] = ["target", "targets", "class", "y"];

/// What counts rows; pandas leaves the name of its index empty in CSV, and calls it `Unnamed: 0` when it reads that.
pub(super) const INDICES: [&str; 5] = ["index", "id", "__index_level_0__", "unnamed: 0", ""];

/// Whether a name is a known one.
pub(super) fn is_one(name: &str, known: &[&str]) -> bool {
    known.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The place of the likeliest name: the first one known that is there.
pub(super) fn likeliest(names: &[&str], known: &[&str]) -> Option<usize> {
    known.iter().find_map(|known| names.iter().position(|name| name.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_name_is_found_in_whatever_case() {
        assert_eq!(likeliest(&["a", "Labels", "LABEL"], &LABELS), Some(2));
        assert_eq!(likeliest(&["a", "b"], &LABELS), None);
        assert!(is_one("Unnamed: 0", &INDICES) && is_one("", &INDICES));
        assert!(!is_one("Unnamed: 1", &INDICES));
    }
}
