//! Paths inside a source, and percent-encoding.

/// Undoes percent-encoding. A `%` without two hex digits stands for itself; `None` when the result is no text.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            bytes.push(high << 4 | low);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Percent-encodes what would be read as something else: the characters of `special`, `%`, and blanks.
pub(super) fn encode(text: &str, special: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '%' || character.is_whitespace() || special.contains(character) {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a String cannot fail.
                let _infallible = write!(encoded, "%{byte:02X}");
            }
        } else {
            encoded.push(character);
        }
    }
    encoded
}

/// A path that stays inside the source: decoded, relative, without `.` and `..`.
pub(super) fn inner(text: &str) -> Result<String, &'static str> {
    let decoded = decode(text).ok_or("is not UTF-8")?;
    if decoded.chars().any(char::is_control) {
        return Err("has a control character");
    }
    let parts: Vec<&str> =
        decoded.strip_suffix('/').unwrap_or(&decoded).split('/').filter(|part| *part != ".").collect();
    match parts.as_slice() {
        [] | [""] => Err("is empty"),
        parts if parts.contains(&"") => Err("has an empty part between two `/`, or starts with `/`"),
        parts if parts.contains(&"..") => Err("has `..`, which could leave the source"),
        parts => Ok(parts.join("/")),
    }
}
