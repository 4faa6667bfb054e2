//! What somebody who misspelt a name may have meant.

/// A name is near enough when this part of it would have to change, or less: 1 of 3.
const DISTANCE_PART: usize = 3;

/// `did you mean …?` with the nearest name, if one is near.
#[must_use]
pub fn did_you_mean<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
    let lower = name.to_lowercase();
    let near = known
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| {
            *distance * DISTANCE_PART <= candidate.len().max(DISTANCE_PART)
        })
        .min()?;
    Some(format!("did you mean `{}`?", near.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_meant_and_only_if_it_is_near() {
        let known = || ["inputs", "steps", "vars"].into_iter();
        assert_eq!(
            did_you_mean("input", known()).as_deref(),
            Some("did you mean `inputs`?")
        );
        assert_eq!(
            did_you_mean("Step", known()).as_deref(),
            Some("did you mean `steps`?")
        );
        assert_eq!(did_you_mean("secrets", known()), None);
    }
}
