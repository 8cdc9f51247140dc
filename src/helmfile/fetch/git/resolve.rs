//! From a branch, tag or nothing to a commit, by what one `git ls-remote` prints. Pure.

use crate::{
    helmfile::fetch::{FetchError, Revision, locator::Reference},
    suggest::closest,
};

const HEADS: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    /// The default branch.
    Default,
    /// A commit in full.
    Commit(&'a str),
    /// `refs/…`
    Full(&'a str),
    /// A branch, else a tag: the order of `git clone --branch`.
    Name(&'a str),
}

impl<'a> Wanted<'a> {
    pub(super) fn new(reference: Option<&'a Reference>) -> Self {
        match reference.map(|reference| (reference.commit(), reference.as_str())) {
            None | Some((None, "HEAD")) => Self::Default,
            Some((Some(commit), _)) => Self::Commit(commit),
            Some((None, name)) if name.starts_with("refs/") => Self::Full(name),
            Some((None, name)) => Self::Name(name),
        }
    }

    /// Names of refs that may be meant, the best first; `resolved` is the branch that turned out to be the default.
    pub(super) fn candidates(self, resolved: Option<&str>) -> Vec<String> {
        match (self, resolved) {
            (Self::Commit(_), _) => Vec::new(),
            (Self::Default, None) => vec!["HEAD".to_owned()],
            (Self::Default, Some(branch)) => vec![format!("{HEADS}{branch}")],
            (Self::Full(name), _) => vec![name.to_owned()],
            (Self::Name(name), _) => vec![format!("{HEADS}{name}"), format!("{TAGS}{name}")],
        }
    }

    /// Arguments of the `git ls-remote` that has the answer, or, when there is none, names to suggest. None for a
    /// commit, which is its own answer.
    ///
    /// Only `--heads` and `--tags` make the server send less; patterns are applied to what it has sent.
    pub(super) fn question(self, url: &str) -> Option<Vec<String>> {
        let words = |words: &[&str]| Some(words.iter().map(ToString::to_string).collect());
        match self {
            Self::Commit(_) => None,
            Self::Default => words(&["--symref", "--", url, "HEAD"]),
            Self::Name(_) => words(&["--heads", "--tags", "--", url]),
            Self::Full(name) if name.starts_with(HEADS) || name.starts_with(TAGS) => {
                words(&["--heads", "--tags", "--", url])
            }
            Self::Full(name) => {
                let family = name.split('/').take(2).collect::<Vec<_>>().join("/");
                words(&["--", url, &format!("{family}/*")])
            }
        }
    }

    /// Finds it in the answer. `repository` is for messages.
    pub(super) fn answer(self, output: &str, repository: &str) -> Result<Revision, FetchError> {
        let listing = Listing::read(output);
        let repository = || repository.to_owned();
        let found = self.candidates(None).iter().find_map(|name| listing.commit(name));
        match found {
            Some(id) if id.len() != 40 => Err(FetchError::ObjectFormat { repository: repository() }),
            Some(id) => Ok(Revision::commit(self.name(listing.head), id)),
            None => Err(match self {
                Self::Default => FetchError::NoDefaultBranch { repository: repository() },
                Self::Commit(commit) => return Ok(Revision::commit(None, commit)),
                Self::Name(name) if is_start_of_commit(name) => FetchError::ShortCommit {
                    repository: repository(),
                    name: name.to_owned(),
                    closest: listing.commit_like(name).map(str::to_owned),
                },
                Self::Name(name) | Self::Full(name) => FetchError::RefNotFound {
                    repository: repository(),
                    name: name.to_owned(),
                    closest: closest(name, listing.names(name.starts_with("refs/"))).map(str::to_owned),
                },
            }),
        }
    }

    /// What a revision shows.
    fn name<'n>(self, head: Option<&'n str>) -> Option<&'n str>
    where
        'a: 'n,
    {
        match self {
            Self::Default => head,
            Self::Commit(_) => None,
            Self::Full(name) | Self::Name(name) => Some(short(name)),
        }
    }
}

fn short(name: &str) -> &str {
    name.strip_prefix(HEADS).or_else(|| name.strip_prefix(TAGS)).unwrap_or(name)
}

fn is_start_of_commit(name: &str) -> bool {
    (7..40).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What `git ls-remote` prints.
#[derive(Debug, Default)]
struct Listing<'a> {
    /// The branch that HEAD stands for.
    head: Option<&'a str>,
    /// Names and what they point to.
    refs: Vec<(&'a str, &'a str)>,
}

/// After the name of an annotated tag: the commit it is for.
const PEELED: &str = "^{}";

impl<'a> Listing<'a> {
    /// Leaves out names that no ref can have: a hostile server could put anything into our messages and commands.
    fn read(output: &'a str) -> Self {
        let is_name = |name: &str| Reference::parse(name.strip_suffix(PEELED).unwrap_or(name)).is_ok();
        let mut listing = Self::default();
        for (value, name) in output.lines().filter_map(|line| line.split_once('\t')) {
            match value.strip_prefix("ref: ") {
                Some(target) if name == "HEAD" && is_name(target) => listing.head = Some(short(target)),
                None if is_name(name) => listing.refs.push((name, value)),
                _ => {}
            }
        }
        listing
    }

    fn commit(&self, name: &str) -> Option<&'a str> {
        let find = |wanted: &str| self.refs.iter().find(|(name, _)| *name == wanted).map(|(_, id)| *id);
        find(&format!("{name}{PEELED}")).or_else(|| find(name))
    }

    fn commit_like(&self, start: &str) -> Option<&'a str> {
        let start = start.to_ascii_lowercase();
        self.refs.iter().map(|(_, id)| *id).find(|id| id.starts_with(&start))
    }

    fn names(&self, full: bool) -> impl Iterator<Item = &'a str> {
        let names = self.refs.iter().map(|(name, _)| *name).filter(|name| !name.ends_with(PEELED));
        names.map(move |name| if full { name } else { short(name) })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::helmfile::fetch::locator::{Locator, Place};

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    const C: &str = "cccccccccccccccccccccccccccccccccccccccc";

    /// Names and what they point to.
    type Refs<'a> = &'a [(&'a str, &'a str)];

    fn resolve(reference: &str, listing: Refs<'_>) -> Result<String, (&'static str, String)> {
        let source = if reference.is_empty() {
            "git::file:///r".to_owned()
        } else {
            format!("git::file:///r?ref={reference}")
        };
        let locator = Locator::parse(&source, None, Path::new("/")).unwrap();
        let Place::Git(repository) = locator.place() else { panic!() };
        let lines: Vec<_> = listing.iter().map(|(name, id)| format!("{id}\t{name}\n")).collect();
        let answer = Wanted::new(repository.reference.as_ref()).answer(&lines.concat(), "URL");
        answer.map(|revision| revision.to_string()).map_err(|error| (error.reason(), error.to_string()))
    }

    #[test]
    fn finds_what_is_meant() {
        let both = [("refs/heads/x", A), ("refs/tags/x", B), ("refs/tags/x^{}", C)];
        let table: [(&str, Refs<'_>, String); 11] = [
            ("", &[("HEAD", "ref: refs/heads/main"), ("HEAD", A)], format!("main@sha1:{A}")),
            ("HEAD", &[("HEAD", "ref: refs/heads/team/x"), ("HEAD", A)], format!("team/x@sha1:{A}")),
            ("", &[("HEAD", A)], format!("sha1:{A}")),
            ("main", &[("refs/heads/main", A), ("refs/heads/a/main", B)], format!("main@sha1:{A}")),
            ("v1", &[("refs/tags/v1", A)], format!("v1@sha1:{A}")),
            ("x", &both, format!("x@sha1:{A}")),
            ("refs/tags/x", &both, format!("x@sha1:{C}")),
            ("refs/heads/x", &both, format!("x@sha1:{A}")),
            ("refs/pull/1/head", &[("refs/pull/1/head", A)], format!("refs/pull/1/head@sha1:{A}")),
            ("", &[("HEAD", "ref: refs/heads/\u{1b}[31m"), ("HEAD", A)], format!("sha1:{A}")),
            (A, &[], format!("sha1:{A}")),
        ];
        for (reference, listing, revision) in table {
            assert_eq!(resolve(reference, listing), Ok(revision), "{reference}");
        }
    }

    #[test]
    fn says_what_there_is_instead() {
        let names = [("refs/heads/main", A), ("refs/tags/v1.2.0", B), ("refs/tags/v1.2.0^{}", C)];
        let table: [(&str, Refs<'_>, &str); 8] = [
            ("mian", &names, "there is no branch or tag `mian` in `URL`; did you mean `main`?"),
            ("release", &names, "there is no branch or tag `release` in `URL`"),
            ("v1.2.1", &names, "there is no branch or tag `v1.2.1` in `URL`; did you mean `v1.2.0`?"),
            (
                "refs/heads/mai",
                &names,
                "there is no branch or tag `refs/heads/mai` in `URL`; did you mean `refs/heads/main`?",
            ),
            (
                "ccccccc",
                &names,
                "`ccccccc` is neither a branch nor a tag of `URL`, and a commit must be given with all of its 40 digits; did you mean `cccccccccccccccccccccccccccccccccccccccc`?",
            ),
            (
                "1234567",
                &names,
                "`1234567` is neither a branch nor a tag of `URL`, and a commit must be given with all of its 40 digits",
            ),
            (
                "",
                &[],
                "`URL` has no default branch, maybe since it is empty; push a commit, or say which branch with `?ref=`",
            ),
            (
                "",
                &[("HEAD", "ref: refs/heads/main")],
                "`URL` has no default branch, maybe since it is empty; push a commit, or say which branch with `?ref=`",
            ),
        ];
        for (reference, listing, message) in table {
            assert_eq!(resolve(reference, listing), Err(("RefNotFound", message.to_owned())), "{reference}");
        }
        let sha256 = "a".repeat(64);
        assert_eq!(resolve("main", &[("refs/heads/main", &sha256)]).unwrap_err().0, "GitOperationFailed");
    }
}
