//! Sources on this machine: real Git repositories over file, and folders.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use tokio_util::sync::CancellationToken;

use super::{
    fetch_setup::{DEADLINE, Setup, list, read},
    support::{git::Repository, processes},
};

#[tokio::test]
async fn a_ref_is_resolved_by_one_question() {
    let setup = Setup::new();
    let repository = Repository::new(&[("f", "1")]);
    let first = repository.head();
    repository.annotated_tag("v1");
    repository.tag("both");
    repository.branch("both");
    let second = repository.commit(&[("f", "2")]);
    repository.git(&["update-ref", "refs/pull/7/head", &second]);
    repository.git(&["checkout", "--quiet", "main"]);
    let url = format!("git::{}", repository.url());
    for (query, revision) in [
        ("", format!("main@sha1:{first}")),
        ("?ref=main", format!("main@sha1:{first}")),
        ("?ref=v1", format!("v1@sha1:{first}")),
        ("?ref=both", format!("both@sha1:{second}")),
        ("?ref=refs/tags/both", format!("both@sha1:{first}")),
        ("?ref=refs/pull/7/head", format!("refs/pull/7/head@sha1:{second}")),
    ] {
        assert_eq!(setup.resolve(&format!("{url}{query}")).await.unwrap().to_string(), revision, "{query}");
        assert_eq!(setup.commands(), ["ls-remote"], "{query}");
    }
    let commit = setup.resolve(&format!("{url}?ref={second}")).await.unwrap();
    assert_eq!(commit.to_string(), format!("sha1:{second}"));
    assert_eq!(setup.commands(), [""; 0], "a commit needs no question");
    assert_eq!(setup.cached(), [""; 0], "nothing is downloaded");
}

#[tokio::test]
async fn a_commit_becomes_a_folder_once() {
    let setup = Setup::new();
    let repository =
        Repository::new(&[("sub/dir/helmfile.yaml", "releases: []"), ("top", "t"), ("sub/run", "#!")]);
    fs::set_permissions(repository.path().join("sub/run"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("../top", repository.path().join("sub/link")).unwrap();
    let commit = repository.commit(&[]);
    repository.tag("x");
    let source = format!("git::{}//sub@dir?ref=x", repository.url());
    let folder = setup.fetch(&source).await.unwrap();
    assert_eq!(list(&folder), ["dir", "link", "run"]);
    assert_eq!(setup.locator(&source).file(), Some("dir"));
    assert_eq!(read(&folder, "dir/helmfile.yaml"), "releases: []");
    assert_eq!(read(&folder, "link"), "t");
    assert_eq!(fs::metadata(folder.join("run")).unwrap().permissions().mode() & 0o111, 0o111);
    assert_eq!(list(folder.parent().unwrap()), ["sub", "top"], "no .git");
    assert_eq!(setup.cached(), [commit.as_str()]);
    assert_eq!(setup.commands(), ["ls-remote", "init", "fetch", "checkout"]);
    assert_eq!(setup.fetch(&source).await.unwrap(), folder);
    assert_eq!(setup.commands(), ["ls-remote"], "nothing is downloaded twice");
    let whole = setup.fetch(&format!("git::{}@top?ref={commit}&depth=2", repository.url())).await.unwrap();
    assert_eq!(whole, folder.parent().unwrap(), "the same commit, whatever it is called");
    assert_eq!(setup.commands(), [""; 0]);
}

#[tokio::test]
async fn a_moved_branch_leaves_the_old_content_alone() {
    let setup = Setup::new();
    let repository = Repository::new(&[("f", "1")]);
    let source = format!("git::{}?ref=main", repository.url());
    let old = setup.resolve(&source).await.unwrap();
    let before = setup.fetch_at(&source, &old).await.unwrap();
    repository.commit(&[("f", "2")]);
    let after = setup.fetch(&source).await.unwrap();
    assert_eq!((read(&before, "f").as_str(), read(&after, "f").as_str()), ("1", "2"));
    // Also when the commit is no longer the tip, and not in the cache either.
    fs::remove_dir_all(&setup.fetcher.cache).unwrap();
    assert_eq!(read(&setup.fetch_at(&source, &old).await.unwrap(), "f"), "1");
}

#[tokio::test]
async fn says_what_is_missing() {
    let setup = Setup::new();
    let repository = Repository::new(&[("deploy/prod/helmfile.yaml", "")]);
    repository.tag("v1.0.0");
    let url = repository.url();
    let gone = format!("file://{}/gone", repository.path().display());
    let empty = Repository::empty();
    let newer = Repository::with_options(&["--object-format=sha256"]);
    newer.commit(&[("f", "")]);
    let commit = "0123456789012345678901234567890123456789";
    let table = [
        (
            format!("git::{url}//deploi"),
            "PathNotFound",
            format!("the folder `//deploi` does not exist in `{url}`; there is `deploy`"),
        ),
        (
            format!("git::{url}//deploy@helmfile.yaml"),
            "PathNotFound",
            format!("the file `@helmfile.yaml` does not exist in `{url}`; there is `prod`"),
        ),
        (
            format!("git::{url}?ref=v1.0.1"),
            "RefNotFound",
            format!("there is no branch or tag `v1.0.1` in `{url}`; did you mean `v1.0.0`?"),
        ),
        (
            format!("git::{url}?ref={commit}"),
            "RefNotFound",
            format!("there is no commit `{commit}` in `{url}`, or no branch and no tag leads to it"),
        ),
        (
            format!("git::{gone}"),
            "RepositoryNotFound",
            format!(
                "failed to read the Git repository `{gone}`: there is no such repository, or the credentials may not see it"
            ),
        ),
        (
            format!("git::{}", empty.url()),
            "RefNotFound",
            format!(
                "`{}` has no default branch, maybe since it is empty; push a commit, or say which branch with `?ref=`",
                empty.url()
            ),
        ),
        (
            format!("git::{}", newer.url()),
            "GitOperationFailed",
            format!("`{}` names its commits by SHA-256, which is not supported yet", newer.url()),
        ),
    ];
    for (source, reason, message) in table {
        assert_eq!(setup.refused(&source).await, (reason, message), "{source}");
    }
    let short: String = repository.head().chars().take(8).collect();
    let (_, message) = setup.refused(&format!("git::{url}?ref={short}")).await;
    assert!(
        message.ends_with(&format!("all of its 40 digits; did you mean `{}`?", repository.head())),
        "{message}"
    );
}

#[tokio::test]
async fn links_that_leave_the_source_are_refused() {
    let setup = Setup::new();
    let repository = Repository::new(&[("sub/f", "")]);
    symlink("/etc/passwd", repository.path().join("sub/leak")).unwrap();
    repository.commit(&[]);
    let (reason, message) = setup.refused(&format!("git::{}//sub", repository.url())).await;
    assert_eq!(reason, "SourceRefused");
    let expected = format!(
        "`{}` is refused: `sub/leak` is a link to `/etc/passwd`, which is not in the source",
        repository.url()
    );
    assert_eq!(message, expected);
    assert_eq!(setup.cached(), [""; 0]);
}

#[tokio::test]
async fn a_git_folder_in_a_tree_is_refused() {
    let setup = Setup::new();
    let repository = Repository::new(&[("f", "")]);
    let blob =
        repository.git_with_input(&["hash-object", "-w", "--stdin"], "[core]\n\tfsmonitor = touch /tmp/x\n");
    let inner = repository.git_with_input(&["mktree"], &format!("100644 blob {blob}\tconfig\n"));
    for name in [".git", ".GIT", "git~1"] {
        let tree = repository.git_with_input(&["mktree"], &format!("040000 tree {inner}\t{name}\n"));
        let commit = repository.git(&["commit-tree", "-m", "evil", &tree]);
        repository.git(&["update-ref", "refs/heads/evil", &commit]);
        let (reason, message) = setup.refused(&format!("git::{}?ref=evil", repository.url())).await;
        assert_eq!(reason, "GitOperationFailed", "{name}: {message}");
        assert!(message.contains("invalid path"), "{name}: {message}");
    }
    assert_eq!(setup.cached(), [""; 0]);
}

#[tokio::test]
async fn nothing_of_the_user_or_the_source_is_run_or_read() {
    let mut setup = Setup::new();
    let repository = Repository::new(&[("f", "text"), (".gitattributes", "* filter=evil\n")]);
    let inner = Repository::new(&[("secret", "")]);
    repository.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        &inner.url(),
        "module",
    ]);
    repository.commit(&[]);
    let home = setup.folder.path().join("home");
    let marker = setup.folder.path().join("marker");
    let evil = format!("touch '{}'", marker.display());
    fs::create_dir_all(home.join("hooks")).unwrap();
    for hook in ["post-checkout", "reference-transaction", "pre-auto-gc"] {
        let hook = home.join("hooks").join(hook);
        fs::write(&hook, format!("#!/bin/sh\n{evil}\n")).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let config = format!(
        "[core]\n\thooksPath = {home}/hooks\n\tfsmonitor = {evil}\n\tsshCommand = {evil}\n[filter \"evil\"]\n\tsmudge = {evil}\n\
         \trequired = true\n[url \"file:///nowhere\"]\n\tinsteadOf = file://\n[submodule]\n\trecurse = true\n",
        home = home.display()
    );
    fs::write(home.join(".gitconfig"), &config).unwrap();
    for (name, value) in [
        ("HOME", home.as_os_str()),
        ("XDG_CONFIG_HOME", home.as_os_str()),
        ("GIT_CONFIG_GLOBAL", home.join(".gitconfig").as_os_str()),
        ("GIT_TEMPLATE_DIR", home.as_os_str()),
        ("GIT_DIR", repository.path().join(".git").as_os_str()),
        ("GIT_EXTERNAL_DIFF", evil.as_ref()),
    ] {
        setup.env(name, value);
    }
    // The cache is in a repository, too.
    let around = setup.folder.path().join(".git");
    fs::rename(Repository::empty().path().join(".git"), &around).unwrap();
    fs::write(around.join("config"), format!("[core]\n\trepositoryFormatVersion = 0\n{config}")).unwrap();
    let folder = setup.fetch(&format!("git::{}", repository.url())).await.unwrap();
    assert_eq!(read(&folder, "f"), "text");
    assert_eq!(list(&folder.join("module")), [""; 0], "submodules are not fetched");
    assert!(!marker.exists());
}

#[tokio::test]
async fn two_at_once_both_get_the_content() {
    let setup = Setup::new();
    let repository = Repository::new(&[("f", "1")]);
    let source = format!("git::{}", repository.url());
    let (one, two) = tokio::join!(setup.fetch(&source), setup.fetch(&source));
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(setup.cached(), [repository.head()]);
}

#[tokio::test]
async fn an_interrupted_fetch_leaves_nothing_that_looks_finished() {
    let setup = Setup::new();
    let repository = Repository::new(&[("f", "1")]);
    let source = format!("git::{}", repository.url());
    let revision = setup.resolve(&source).await.unwrap();
    let locator = setup.locator(&source);
    setup.hang_in("checkout");
    let stop = CancellationToken::new();
    let interrupt = async {
        setup.wait_until_git_hangs().await;
        stop.cancel();
    };
    let (failed, ()) = tokio::join!(setup.fetcher.fetch(&locator, &revision, &stop), interrupt);
    assert_eq!(failed.unwrap_err().reason(), "Stopped");
    assert_eq!(setup.cached(), [""; 0]);
    // The same for a future that is dropped.
    let never = CancellationToken::new();
    tokio::select! {
        _ = setup.fetcher.fetch(&locator, &revision, &never) => panic!("git hangs"),
        () = setup.wait_until_git_hangs() => {}
    }
    assert!(setup.cached().iter().all(|name| name.starts_with(".work-")), "{:?}", setup.cached());
    setup.hang_no_more();
    assert_eq!(list(&setup.fetch_at(&source, &revision).await.unwrap()), ["f"]);
    assert_eq!(setup.cached(), [repository.head()]);
    let left = processes::naming(setup.folder.path().to_str().unwrap());
    processes::wait_until_gone("git", &left, DEADLINE).await;
}

#[tokio::test]
async fn a_folder_is_copied_as_it_was() {
    let setup = Setup::new();
    let source = setup.folder.path().join("src");
    fs::create_dir_all(source.join("deploy")).unwrap();
    fs::write(source.join("deploy/helmfile.yaml"), "one").unwrap();
    let locator = "./src//deploy@helmfile.yaml";
    let old = setup.resolve(locator).await.unwrap();
    assert!(old.as_str().starts_with("sha256:") && old.name().is_none(), "{old}");
    assert_eq!(setup.resolve(locator).await.unwrap(), old);
    let before = setup.fetch_at(locator, &old).await.unwrap();
    fs::write(source.join("deploy/helmfile.yaml"), "two").unwrap();
    let new = setup.resolve(locator).await.unwrap();
    assert_ne!(new, old);
    let after = setup.fetch_at(locator, &new).await.unwrap();
    assert_eq!(
        (read(&before, "helmfile.yaml").as_str(), read(&after, "helmfile.yaml").as_str()),
        ("one", "two")
    );
    assert_eq!(setup.commands(), [""; 0], "no git");
    // Changed between the question and the copy.
    fs::write(source.join("deploy/helmfile.yaml"), "three").unwrap();
    let third = setup.resolve(locator).await.unwrap();
    fs::write(source.join("deploy/helmfile.yaml"), "four").unwrap();
    assert_eq!(setup.fetch_at(locator, &third).await.unwrap_err().reason(), "SourceChanged");
    assert_eq!(setup.cached().len(), 2);
    let (reason, message) = setup.refused("./gone").await;
    let gone = setup.folder.path().join("gone");
    assert_eq!(
        (reason, message),
        ("PathNotFound", format!("the folder `{}` does not exist", gone.display()))
    );
    assert_eq!(setup.refused("./src/deploy/helmfile.yaml").await.0, "PathNotFound");
    symlink("/etc", source.join("etc")).unwrap();
    assert_eq!(setup.refused("./src").await.0, "SourceRefused");
}

#[tokio::test]
async fn a_revision_of_another_source_is_refused() {
    let setup = Setup::new();
    let repository = Repository::new(&[("f", "1")]);
    let folder = setup.resolve(".").await.unwrap();
    let error = setup.fetch_at(&format!("git::{}", repository.url()), &folder).await.unwrap_err();
    assert_eq!(error.reason(), "RevisionInvalid");
}
