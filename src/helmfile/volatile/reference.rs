//! What a path, URL or chart in a helmfile leads to. Pure.

/// Stands for the result of a template's action, with a number so that no two are the same: `⟨3⟩` in these signs.
pub(super) const ACTION: char = '\u{fffc}';

/// A reference as it is shown, with its actions as `{{…}}`.
pub(super) fn shown(reference: &str) -> String {
    let parts = reference.split(ACTION).enumerate();
    parts.map(|(number, part)| if number % 2 == 0 { part } else { "{{…}}" }).collect()
}

/// The longest part of a reference that is in the file as it is here.
pub(super) fn needle(reference: &str) -> &str {
    let parts = reference.split(ACTION).enumerate().filter(|(number, _)| number % 2 == 0);
    parts.map(|(_, part)| part).max_by_key(|part| part.len()).unwrap_or(reference)
}

/// Whether the text is written out, without templates.
pub(super) fn is_literal(text: &str) -> bool {
    !text.contains(ACTION) && !text.contains("{{")
}

/// Whether it is on another machine.
pub(super) fn is_remote(reference: &str) -> bool {
    let is_file = reference.starts_with("file://");
    (reference.contains("://") && !is_file) || reference.contains("::") || reference.starts_with("git@")
}

/// Whether what is on another machine stays as it is: a full commit.
pub(super) fn is_pinned(url: &str) -> bool {
    let Some((_, query)) = url.split_once('?') else { return false };
    let mut refs = query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(key, _)| *key == "ref");
    let is_commit = |value: &str| value.len() == 40 && value.chars().all(|c| c.is_ascii_hexdigit());
    refs.next().is_some_and(|(_, value)| is_commit(value)) && refs.next().is_none()
}

/// Whether a local path leads out of the source, from a folder this deep in it.
pub(super) fn leads_out(path: &str, depth: usize) -> bool {
    let mut depth = Some(depth);
    for part in path.split('/') {
        depth = match part {
            ".." => depth.and_then(|depth| depth.checked_sub(1)),
            "" | "." => depth,
            _ => depth.map(|depth| depth + 1),
        };
        if depth.is_none() {
            return true;
        }
    }
    path.starts_with('/') || path.starts_with("file:///") || path.starts_with('~')
}

/// Whether a version is exactly one, as `1.2.3` or a digest, and not a range: `1.2`, `^1.2.3`, `*`.
pub(super) fn is_exact(version: &str) -> bool {
    let version = version.trim();
    if let Some((_, digest)) = version.split_once("@sha256:") {
        return is_digest(digest);
    }
    let version = version.strip_prefix('v').unwrap_or(version);
    let end = version.find(['-', '+']).unwrap_or(version.len());
    let (numbers, suffix) = version.split_at(end);
    let numbers: Vec<&str> = numbers.split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    let is_word = |c: char| c.is_ascii_alphanumeric() || ".-+".contains(c);
    numbers.len() == 3 && numbers.iter().all(is_number) && suffix.len() != 1 && suffix.chars().all(is_word)
}

/// Whether an OCI chart's own URL says which one it is, by digest or by an exact tag.
pub(super) fn names_its_version(url: &str) -> bool {
    if let Some((_, digest)) = url.split_once("@sha256:") {
        return is_digest(digest);
    }
    let name = url.rsplit('/').next().unwrap_or(url);
    name.split_once(':').is_some_and(|(_, tag)| is_exact(tag))
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_versions() {
        for version in ["1.2.3", "v1.2.3", "0.0.0", "1.2.3-rc.1", "1.2.3+build-5", " 1.2.3 "] {
            assert!(is_exact(version), "{version}");
        }
        for version in [
            "",
            "*",
            "1",
            "1.2",
            "1.x.3",
            "1.2.*",
            "^1.2.3",
            "~1.2.3",
            ">=1.2.3",
            "=1.2.3",
            "1.2.3 - 2.0.0",
            "1.2.3 || 2.0.0",
            "1.2.3,2.0.0",
            "latest",
            "1.2.3-",
            "1.2.3.4",
            "1..3",
            "\u{fffc}1\u{fffc}",
            "{{ .v }}",
            "1.2.3-{{ .x }}",
        ] {
            assert!(!is_exact(version), "{version}");
        }
    }

    #[test]
    fn remotes() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for (url, remote, pinned) in [
            ("values.yaml", false, false),
            ("./a/b", false, false),
            ("file://../a", false, false),
            ("https://h/x.yaml", true, false),
            ("git::https://h/r.git@x.yaml?ref=main", true, false),
            (&format!("git::https://h/r.git@x.yaml?ref={commit}"), true, true),
            (&format!("git::https://h/r.git@x.yaml?a=b&ref={commit}"), true, true),
            (&format!("git::https://h/r.git@x.yaml?ref=main&ref={commit}"), true, false),
            (&format!("git::https://h/r.git@x.yaml?ref={commit}0"), true, false),
            ("git::https://h/r.git@x.yaml?ref=0123456", true, false),
            ("s3://b/x", true, false),
            ("git@h:a/b", true, false),
        ] {
            assert_eq!((is_remote(url), is_pinned(url)), (remote, pinned), "{url}");
        }
        let digest = "0".repeat(64);
        assert!(is_exact(&format!("1.2.3@sha256:{digest}")) && is_exact(&format!("@sha256:{digest}")));
        assert!(!is_exact("1.2.3@sha256:00"));
        assert!(names_its_version(&format!("oci://h/a@sha256:{digest}")));
        assert!(names_its_version("oci://h:5000/a:1.2.3"));
        for url in ["oci://h:5000/a", "oci://h/a:latest", "oci://h/a@sha256:00", "oci://h/a"] {
            assert!(!names_its_version(url), "{url}");
        }
    }

    #[test]
    fn paths_that_lead_out() {
        for (path, depth, out) in [
            ("a.yaml", 0, false),
            ("../a.yaml", 0, true),
            ("../a.yaml", 1, false),
            ("../../a", 1, true),
            ("a/../b", 0, false),
            ("a/../../b", 0, true),
            ("/etc/x", 5, true),
            ("./a//b", 0, false),
        ] {
            assert_eq!(leads_out(path, depth), out, "{path}");
        }
    }

    #[test]
    fn actions_are_shown_as_such() {
        let reference = "a/\u{fffc}12\u{fffc}/long.yaml";
        assert_eq!(shown(reference), "a/{{…}}/long.yaml");
        assert_eq!(needle(reference), "/long.yaml");
    }
}
