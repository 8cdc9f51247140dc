//! "Did you mean …?"

/// The candidate that `word` was probably meant to be: at most a third of its letters differ.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = word.chars().count().div_ceil(3);
    candidates
        .into_iter()
        .map(|candidate| {
            (strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase()), candidate)
        })
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_near_misses_only() {
        assert_eq!(closest("comand", ["command", "args"]), Some("command"));
        assert_eq!(closest("Reconciler", ["reconciler"]), Some("reconciler"));
        assert_eq!(closest("xyz", ["command", "args"]), None);
    }
}
