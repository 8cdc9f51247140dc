use std::path::Path;

use proptest::prelude::*;

use std::num::NonZeroU32;

use super::*;

const BASE: &str = "/base/folder";

fn parse(source: &str) -> Result<Locator, LocatorError> {
    Locator::parse(source, None, Path::new(BASE))
}

/// What a Git locator comes down to: URL for Git, ref, subdir, file.
fn parts(source: &str) -> (String, Option<String>, Option<String>, Option<String>) {
    let locator = parse(source).unwrap_or_else(|error| panic!("{source}: {error}"));
    let (url, reference) = match locator.place() {
        Place::Git(repository) => {
            (repository.remote.to_string(), repository.reference.as_ref().map(ToString::to_string))
        }
        Place::Folder(path) => (path.display().to_string(), None),
    };
    (url, reference, locator.subdir().map(str::to_owned), locator.file().map(str::to_owned))
}

#[test]
fn takes_locators_apart() {
    let table = [
        // The original's example, and helmfile's own form.
        ("git::https://host/repo.git//sub@dir?ref=x", "https://host/repo.git", "x", "sub", "dir"),
        (
            "git::https://github.com/o/r.git@deployments/x?ref=v1",
            "https://github.com/o/r.git",
            "v1",
            "",
            "deployments/x",
        ),
        ("git::https://host/repo.git", "https://host/repo.git", "", "", ""),
        ("git::HTTPS://Host/Repo.git", "https://host/Repo.git", "", "", ""),
        (
            "git::https://host:8443/repo//a/b/?ref=refs/pull/1/head",
            "https://host:8443/repo",
            "refs/pull/1/head",
            "a/b",
            "",
        ),
        ("git::https://bob:s3cr3t@host/repo@f.yaml?depth=3", "https://host/repo", "", "", "f.yaml"),
        ("git::http://[::1]:80/repo", "http://[::1]:80/repo", "", "", ""),
        ("git::ssh://git@host:2222/o/r.git//sub?ref=a@b", "ssh://git@host:2222/o/r.git", "a@b", "sub", ""),
        ("git::ssh://host/r", "ssh://host/r", "", "", ""),
        ("git::git@host:o/r.git//sub@f?ref=main", "git@host:o/r.git", "main", "sub", "f"),
        ("git::git@[::1]:/srv/r.git@f", "git@[::1]:/srv/r.git", "", "", "f"),
        ("git::file:///srv/r.git//sub@f", "file:///srv/r.git", "", "sub", "f"),
        ("git::file://localhost/srv/r.git", "file:///srv/r.git", "", "", ""),
        // A `+` is a `+`, a `#` in a ref too; `%` sequences are undone in refs and inner paths only.
        ("git::https://host/r?ref=v1.0+build", "https://host/r", "v1.0+build", "", ""),
        ("git::https://host/r?ref=feature/#12", "https://host/r", "feature/#12", "", ""),
        (
            "git::https://host/%40scope/r//a%40b@c%3Fd?ref=x%26y",
            "https://host/%40scope/r",
            "x&y",
            "a@b",
            "c?d",
        ),
        ("git::https://host/r.git//./a/./b@./c", "https://host/r.git", "", "a/b", "c"),
        ("./dir", "/base/folder/dir", "", "", ""),
        (".", "/base/folder", "", "", ""),
        (".@helmfile.yaml", "/base/folder", "", "", "helmfile.yaml"),
        ("./dir//sub@f/g.yaml", "/base/folder/dir", "", "sub", "f/g.yaml"),
        ("../dir/", "/base/folder/../dir", "", "", ""),
        ("/abs//sub", "/abs", "", "sub", ""),
        ("/abs/a%40b/100%", "/abs/a@b/100%", "", "", ""),
    ];
    for (source, url, reference, subdir, file) in table {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        assert_eq!(parts(source), (url.to_owned(), some(reference), some(subdir), some(file)), "{source}");
    }
}

#[test]
fn a_version_is_a_ref() {
    let base = Path::new(BASE);
    let with = Locator::parse("git::https://host/r.git@f", Some("v1"), base).unwrap();
    assert_eq!(with, parse("git::https://host/r.git@f?ref=v1").unwrap());
    assert_eq!(
        Locator::parse("git::https://host/r?ref=v1", Some("v1"), base),
        Err(LocatorError::RefAndVersion)
    );
    assert_eq!(Locator::parse("./dir", Some("v1"), base), Err(LocatorError::FolderVersion));
    let error = Locator::parse("git::https://host/r", Some("--upload-pack=x"), base).unwrap_err();
    assert_eq!(error.to_string(), "`--upload-pack=x` can't be a branch, tag or commit: it starts with `-`");
}

#[test]
fn a_full_commit_is_told_from_a_name() {
    let commit = "ABCDEF0123456789abcdef0123456789abcdef01";
    let Place::Git(repository) = parse(&format!("git::https://host/r?ref={commit}")).unwrap().place else {
        panic!()
    };
    assert_eq!(repository.reference.unwrap().commit(), Some(commit.to_ascii_lowercase().as_str()));
    let Place::Git(repository) = parse("git::https://host/r?ref=abcdef0").unwrap().place else { panic!() };
    assert_eq!(repository.reference.unwrap().commit(), None);
}

#[test]
fn says_what_is_wrong_and_how_it_should_look() {
    let table = [
        ("", "the source is empty; write for example"),
        ("./a\nb", "the source has a line break or another control character"),
        (" ./a", "the source has blanks around it"),
        ("charts/x", "`charts/x` is no source; write `./charts/x` for a folder, or"),
        ("github.com/o/r", "write `git::https://github.com/o/r`"),
        ("https://host/o/r.git", "`https://host/o/r.git` is no source; write `git::https://host/o/r.git`"),
        ("git@host:o/r.git", "write `git::git@host:o/r.git`"),
        (
            "https://host/x.tar.gz",
            "sources of the kind `archives` are not supported yet; supported are `git::` (https",
        ),
        ("oci://host/x", "sources of the kind `oci://` are not supported yet"),
        ("s3::https://host/x", "sources of the kind `s3::` are not supported yet"),
        ("gti::https://host/x", "the getter `gti::` is unknown (did you mean `git::`?); supported are"),
        ("git::", "`git::` must be followed by a URL"),
        ("git::host/r", "`git::` must be followed by a URL"),
        (
            "git::htps://host/r",
            "can't have the scheme `htps` (did you mean `https://`?); write `git::https://…`",
        ),
        ("git::ext://sh -c x", "can't have the scheme `ext`; write"),
        ("git::https://host", "names a host but no repository; write `git::https://host/repository.git`"),
        ("git::https://host//sub", "names a host but no repository"),
        ("git::https:///r", "names no host"),
        ("git::https://-oProxyCommand=x/r", "names a host that starts with `-`"),
        ("git::ssh://-oProxyCommand=x/r", "names a host that starts with `-`"),
        ("git::ssh://-x@host/r", "names a user that starts with `-`"),
        ("git::ssh://git:pw@host/r", "has a password, but ssh takes keys only"),
        ("git::git@host:--upload-pack=x", "the repository's path has a `-` at its start"),
        ("git::https://host:0/r", "has no valid port number"),
        ("git::https://host:99999/r", "has no valid port number"),
        ("git::https://ho$t/r", "names a host with a character that hosts can't have"),
        ("git::https://a%0a:b@host/r", "has a control character in its user or password"),
        ("git::file://host/r", "must be empty for files"),
        ("git::https://host/a/../r", "the repository's path has a part `..`"),
        ("git::https://host/a/%2e%2e/r", "the repository's path has a part `..`"),
        ("git::https://host/a b", "the repository's path has a blank or a `#`"),
        ("git::https://host/a@b@c", "more than one `@`"),
        ("git::https://host/r//../x", "the folder after `//` has `..`, which could leave the source"),
        ("git::https://host/r//a/%2e%2e/x", "the folder after `//` has `..`"),
        ("git::https://host/r//", "the folder after `//` is empty"),
        ("git::https://host/r//a//b", "the folder after `//` has an empty part"),
        ("git::https://host/r@../x", "the helmfile after `@` has `..`"),
        (
            "git::https://host/r@/etc/x",
            "the helmfile after `@` has an empty part between two `/`, or starts with `/`",
        ),
        ("git::https://host/r@", "the helmfile after `@` is empty"),
        ("git::https://host/r@a%00", "the helmfile after `@` has a control character"),
        ("git::https://host/r@%ff", "the helmfile after `@` is not UTF-8"),
        (
            "git::https://host/r?rev=1",
            "the parameter `rev` is unknown (did you mean `ref`?); known are `ref` and `depth`",
        ),
        ("git::https://host/r?token=hunter2", "the parameter `token` is unknown; known are"),
        ("git::https://host/r?sshkey=hunter2", "the parameter `sshkey` is refused"),
        ("git::https://host/r?ref=a&ref=b", "the parameter `ref` is given twice"),
        ("git::https://host/r?ref=", "the parameter `ref` has no value"),
        ("git::https://host/r?depth", "the parameter `depth` has no value"),
        ("git::https://host/r?depth=0", "`depth=0` is no depth; write a whole number of 1 or more"),
        ("git::https://host/r?ref=--pathspec-from-file=/etc/passwd", "it starts with `-`"),
        ("git::https://host/r?ref=%2dx", "it starts with `-`"),
        ("git::https://host/r?ref=a..b", "it has `..`"),
        ("git::https://host/r?ref=a%20b", "it has a blank"),
        ("git::https://host/r?ref=a:b", "it has one of"),
        ("git::https://host/r?ref=a/.b", "a part that starts with `.`"),
        ("./dir?ref=x", "a local folder takes no parameters"),
        ("./dir//../x", "the folder after `//` has `..`"),
    ];
    for (source, part) in table {
        match parse(source) {
            Ok(locator) => panic!("{source} was read as {locator}"),
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains(part), "{source}: {text}");
                assert!(!text.contains('\n') && !text.contains("hunter2"), "{text}");
            }
        }
    }
}

#[test]
fn prints_no_credentials() {
    let locator = parse("git::https://bob:hunter2@host/r.git@f?ref=x").unwrap();
    assert_eq!(locator.to_string(), "git::https://***@host/r.git@f?ref=x");
    assert_eq!(format!("{locator:?}"), "Locator(git::https://***@host/r.git@f?ref=x)");
    assert_eq!(parse("git::ssh://bob@host/r").unwrap().to_string(), "git::ssh://bob@host/r");
    for source in [
        "https://bob:hunter2@host/r",
        "https://bob:hunter2/x@host/r",
        "git::https://bob:hunter2/x@host/r",
        "git::https://bob:hunter2?x@host/r",
        "git::https://bob:hunter2#x@host",
        "git::https://bob:hunter2@host:x/r",
        "git::https://bob:hunter2@-host/r",
    ] {
        let text = parse(source).unwrap_err().to_string();
        assert!(!text.contains("hunter2"), "{source}: {text}");
    }
}

/// A path inside a source.
fn inner() -> impl Strategy<Value = String> {
    prop::collection::vec("[^/\\p{Cc}]{1,12}", 1..4)
        .prop_map(|parts| parts.join("/"))
        .prop_filter("parts that say nothing or leave", |path| {
            !path.split('/').any(|part| part == "." || part == "..")
        })
}

fn remote() -> impl Strategy<Value = Remote> {
    let host = || "[a-z0-9][a-z0-9.-]{0,20}";
    let path = || "(/[A-Za-z0-9_~.:%+-]*[A-Za-z0-9]){1,3}";
    let port = || prop::option::of(1_u16..);
    let user = || prop::option::of("[A-Za-z0-9][A-Za-z0-9._+-]{0,10}");
    prop_oneof![
        path().prop_map(|path| (Transport::File, None, String::new(), None, path)),
        (host(), port(), path()).prop_map(|(host, port, path)| (Transport::Https, None, host, port, path)),
        (host(), port(), path()).prop_map(|(host, port, path)| (Transport::Http, None, host, port, path)),
        (user(), host(), port(), path()).prop_map(|(user, host, port, path)| (
            Transport::Ssh,
            user,
            host,
            port,
            path
        )),
        ("[a-z][a-z0-9]{0,8}", host(), "[A-Za-z0-9][A-Za-z0-9./]{0,5}[a-z]")
            .prop_map(|(user, host, path)| (Transport::Scp, Some(user), host, None, path)),
    ]
    .prop_map(|(transport, login, host, port, path)| Remote {
        transport,
        login,
        credentials: None,
        given: None,
        host,
        port,
        path,
    })
    .prop_filter("paths that the grammar refuses", |remote| {
        let decoded = path::decode(&remote.path);
        decoded.is_some_and(|path| {
            !path.contains("//")
                && !path.chars().any(char::is_control)
                && !path.split('/').any(|part| part == "..")
        })
    })
}

fn place() -> impl Strategy<Value = Place> {
    let reference = "[A-Za-z0-9#&%+@=-]{1,10}(/[a-z0-9&-]{1,10}){0,2}"
        .prop_filter_map("no ref", |text| Reference::parse(&text).ok());
    let git = (remote(), prop::option::of(reference), prop::option::of(1_u32..)).prop_map(
        |(remote, reference, depth)| {
            Place::Git(Repository { remote, reference, depth: depth.and_then(NonZeroU32::new) })
        },
    );
    let folder = prop::option::of(inner())
        .prop_map(|path| Place::Folder(Path::new("/").join(path.unwrap_or_default())));
    prop_oneof![3 => git, 1 => folder]
}

proptest! {
    #[test]
    fn what_is_printed_is_read_again(place in place(), subdir in prop::option::of(inner()), file in prop::option::of(inner())) {
        let locator = Locator { place, subdir, file };
        let text = locator.to_string();
        prop_assert_eq!(parse(&text), Ok(locator), "{}", text);
    }

    #[test]
    fn nothing_that_is_read_can_leave_the_source_or_look_like_an_option(
        source in prop_oneof![
            any::<String>(),
            "git::(https|ssh|file|git)://[a-z@:%.-]{0,8}/[a-z/.%@?0-2e-]{0,30}(\\?ref=[-a-z./%2d]{0,8})?",
            "[./]{1,3}[a-z/.%@0-2e-]{0,30}",
        ],
    ) {
        if let Ok(locator) = parse(&source) {
            let inside = [locator.subdir(), locator.file()];
            for path in inside.into_iter().flatten() {
                prop_assert!(!path.is_empty() && !path.starts_with('/'));
                prop_assert!(path.split('/').all(|part| part != ".."));
                prop_assert!(!path.chars().any(char::is_control));
            }
            if let Place::Git(Repository { remote, reference, .. }) = locator.place() {
                prop_assert!(!remote.to_string().starts_with('-'));
                prop_assert!(!remote.host.starts_with('-'));
                prop_assert!(!reference.as_ref().is_some_and(|reference| reference.as_str().starts_with('-')));
            }
            prop_assert!(!locator.to_string().chars().any(char::is_control));
            prop_assert_eq!(parse(&locator.to_string().replace("***@", "")).map(|again| again.to_string()), Ok(locator.to_string().replace("***@", "")));
        }
    }

    // A raw `/`, `?` or `#` ends the authority, for every reader of URLs; the table above has what is then still hidden.
    #[test]
    fn a_password_is_never_printed(user in "[a-z]{0,5}", password in "[$-.0->@-~]{8,20}", tail in "(/[a-z@?:/]{0,10})?") {
        let source = format!("git::https://{user}:{password}@host{tail}");
        let text = match parse(&source) {
            Ok(locator) => format!("{locator} {locator:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        prop_assert!(!text.contains(&password), "{}", text);
    }
}

#[test]
fn sources_of_one_server_are_beside_each_other() {
    let locator = |source: &str| Locator::parse(source, None, Path::new("/")).unwrap();
    let own = locator("git::https://host/group/r@helmfile.yaml?ref=main");
    for other in ["git::https://host/other", "git::https://HOST:443/r@v.yaml", "git::https://bob:pw@host/r"] {
        assert!(own.is_beside(&locator(other)), "{other}");
    }
    for other in [
        "git::https://host:8443/r",
        "git::http://host/r",
        "git::ssh://host/r",
        "git::https://host.evil/r",
        "./x",
    ] {
        assert!(!own.is_beside(&locator(other)), "{other}");
    }
    assert!(locator("git::git@host:r").is_beside(&locator("git::ssh://git@host/x")));
}
