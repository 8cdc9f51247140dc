//! Words of others made fit for a sentence of ours, and words for numbers.

use crate::redact;

/// The longest quotation, in bytes. Several of them have to fit into one condition.
const LONGEST: usize = 300;

/// What somebody else has written, as a part of one line: no control characters, no credentials of URLs, at most 300
/// bytes, no full stop.
pub(super) fn quote(text: &str) -> String {
    let words: Vec<&str> = text.split(|letter: char| letter.is_whitespace() || letter.is_control()).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let line = words.join(" ");
    let line = redact::urls(line.trim_end_matches('.'));
    if line.len() <= LONGEST {
        return line.into_owned();
    }
    let (shown, _) = line.split_at(line.floor_char_boundary(LONGEST - '…'.len_utf8()));
    format!("{shown}…")
}

/// `Reason: message`, or the one that there is; nothing when there is neither.
pub(super) fn because(reason: &str, message: &str) -> Option<String> {
    match (quote(reason), quote(message)) {
        (reason, message) if reason.is_empty() && message.is_empty() => None,
        (reason, message) if message.is_empty() => Some(reason),
        (reason, message) if reason.is_empty() => Some(message),
        (reason, message) => Some(format!("{reason}: {message}")),
    }
}

/// `1 object`, `2 objects`.
pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotation_is_one_short_line_without_credentials() {
        assert_eq!(
            quote(" pull failed:\n\thttps://bob:pw@h/x \u{7}denied. "),
            "pull failed: https://***@h/x denied"
        );
        let long = quote(&"ä".repeat(400));
        assert!(long.len() <= LONGEST && long.len() > LONGEST - 3 && long.ends_with("ä…"), "{long}");
    }

    #[test]
    fn a_reason_and_a_message_are_said_where_they_are() {
        for (reason, message, said) in [
            ("Broken", "no disk.", Some("Broken: no disk")),
            ("Broken", "", Some("Broken")),
            ("", "no disk", Some("no disk")),
            ("", " ", None),
        ] {
            assert_eq!(because(reason, message).as_deref(), said);
        }
    }

    #[test]
    fn one_is_singular() {
        assert_eq!((count(0, "object"), count(1, "object")), ("0 objects".to_owned(), "1 object".to_owned()));
    }
}
