//! "Did you mean …?"

/// The candidate that `word` was probably meant to be: at most a third of its letters differ, or it is the beginning of
/// one.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let (word, limit) = (word.to_lowercase(), word.chars().count().div_ceil(3));
    let distance = |candidate: &str| strsim::damerau_levenshtein(&word, &candidate.to_lowercase());
    let near = candidates.iter().map(|candidate| (distance(candidate), *candidate));
    let nearest = near.filter(|(distance, _)| *distance <= limit).min().map(|(_, candidate)| candidate);
    let begins = |candidate: &&str| word.len() > 2 && candidate.to_lowercase().starts_with(&word);
    nearest.or_else(|| candidates.iter().copied().find(begins))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_near_misses_only() {
        assert_eq!(closest("comand", ["command", "args"]), Some("command"));
        assert_eq!(closest("Reconciler", ["reconciler"]), Some("reconciler"));
        assert_eq!(closest("resync", ["reconciler", "resyncPeriod"]), Some("resyncPeriod"));
        assert_eq!(closest("xyz", ["command", "args"]), None);
    }
}
