//! Sources: real Git repositories over file, https and ssh, and local folders.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use helmfile_operator::helmfile::fetch::{FetchError, Fetcher, Locator, Revision, SourceCredentials};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::support::{
    git::{self, Repository},
    git_https::{GitHttps, Options, Silent},
    git_ssh::{self, GitSsh},
    processes, tools,
    wait::wait_until,
};

const DEADLINE: Duration = Duration::from_secs(30);

/// What is called as git: it writes down how and in which environment, takes all repositories for somebody else's, and on request leaves
/// something half done and hangs.
const GIT: &str = r#"#!/bin/sh
printf '%s\n' "$*" >> '@FOLDER@/calls'
env >> '@FOLDER@/environment'
if [ -e '@FOLDER@/hang-in' ] && [ "$1" = "$(cat '@FOLDER@/hang-in')" ]; then
    touch half '@FOLDER@/hangs'
    exec sleep 4321
fi
GIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec '@GIT@' "$@"
"#;

/// A fetcher with a cache of its own.
pub(super) struct Setup {
    pub(super) folder: TempDir,
    pub(super) fetcher: Fetcher,
    /// What sources are read with.
    pub(super) given: Option<SourceCredentials>,
}

impl Setup {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let values = [("@FOLDER@", folder.path()), ("@GIT@", &git::program())];
        let script = values
            .iter()
            .fold(GIT.to_owned(), |text, (name, value)| text.replace(name, value.to_str().unwrap()));
        fs::write(bin.join("git"), script).unwrap();
        fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
        let path = git::ambient(OsStr::new("PATH")).unwrap();
        let path = std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&path))).unwrap();
        let fetcher = Fetcher {
            cache: folder.path().join("cache"),
            guard: tools::guard(),
            env: BTreeMap::from([("PATH".into(), path)]),
            ssh: None,
            timeout: DEADLINE,
        };
        Self { folder, fetcher, given: None }
    }

    pub(super) fn env(&mut self, name: &str, value: impl Into<OsString>) {
        self.fetcher.env.insert(name.into(), value.into());
    }

    pub(super) fn locator(&self, source: &str) -> Locator {
        let locator = Locator::parse(source, None, self.folder.path()).unwrap();
        self.given.iter().fold(locator, Locator::with_credentials)
    }

    async fn resolve(&self, source: &str) -> Result<Revision, FetchError> {
        self.fetcher.resolve(&self.locator(source), &CancellationToken::new()).await
    }

    pub(super) async fn fetch(&self, source: &str) -> Result<PathBuf, FetchError> {
        let revision = self.resolve(source).await?;
        self.fetch_at(source, &revision).await
    }

    async fn fetch_at(&self, source: &str, revision: &Revision) -> Result<PathBuf, FetchError> {
        self.fetcher.fetch(&self.locator(source), revision, &CancellationToken::new()).await
    }

    /// Reason and message of a failure.
    pub(super) async fn refused(&self, source: &str) -> (&'static str, String) {
        let error = self.fetch(source).await.unwrap_err();
        (error.reason(), error.to_string())
    }

    /// Files with secrets that are there now.
    pub(super) fn private(&self) -> Vec<String> {
        list(&self.fetcher.cache.join("git/private"))
    }

    /// From now on git hangs in one of its commands.
    fn hang_in(&self, command: &str) {
        fs::write(self.folder.path().join("hang-in"), command).unwrap();
    }

    async fn wait_until_git_hangs(&self) {
        let mark = self.folder.path().join("hangs");
        let look = async || if mark.exists() { Ok(()) } else { Err("it does not".to_owned()) };
        wait_until("git to hang", DEADLINE, look).await;
        fs::remove_file(mark).unwrap();
    }

    fn hang_no_more(&self) {
        fs::remove_file(self.folder.path().join("hang-in")).unwrap();
    }

    /// How git was called since the last look.
    pub(super) fn calls(&self) -> Vec<String> {
        let log = self.folder.path().join("calls");
        let text = fs::read_to_string(&log).unwrap_or_default();
        let _absent_when_empty = fs::remove_file(log);
        text.lines().map(str::to_owned).collect()
    }

    /// What others on this machine could see of all git commands so far: command lines and environments.
    pub(super) fn visible(&self) -> String {
        ["calls", "environment"]
            .map(|name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default())
            .concat()
    }

    /// Commands of git since the last look.
    fn commands(&self) -> Vec<String> {
        self.calls().iter().map(|call| call.split(' ').next().unwrap().to_owned()).collect()
    }

    /// What is in the cache: all contents, and workplaces that should not be there.
    fn cached(&self) -> Vec<String> {
        let mut names = Vec::new();
        for kind in ["git", "local"] {
            for shelf in list(&self.fetcher.cache.join(kind)).iter().filter(|name| name.len() == 64) {
                names.extend(list(&self.fetcher.cache.join(kind).join(shelf)));
            }
        }
        names
    }
}

fn list(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(super) fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap()
}

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
async fn a_host_that_never_answers_ends_with_the_timeout() {
    let mut setup = Setup::new();
    let silent = Silent::start().await;
    let client = setup.folder.path().join("ssh");
    fs::create_dir(&client).unwrap();
    fs::write(client.join("known_hosts"), "").unwrap();
    git_ssh::make_key(&client.join("id_ed25519"));
    setup.fetcher.ssh = Some(client);
    setup.fetcher.timeout = Duration::from_millis(700);
    for scheme in ["https", "ssh"] {
        let url = format!("{scheme}://{}/r.git", silent.address());
        let started = Instant::now();
        let (reason, message) = setup.refused(&format!("git::{url}")).await;
        assert_eq!((reason, message), ("Timeout", format!("`{url}` was not read within 700ms")));
        assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
        assert_eq!(processes::naming(&silent.address()), [0; 0], "no git is left");
    }
}

/// An https server for one repository called `r.git`, and a setup that trusts it.
pub(super) async fn over_https(files: &[(&str, &str)], options: Options) -> (Setup, Repository, GitHttps) {
    let repository = Repository::new(files);
    let mut setup = Setup::new();
    let root = setup.folder.path().join("served");
    fs::create_dir(&root).unwrap();
    symlink(repository.path().join(".git"), root.join("r.git")).unwrap();
    let server = GitHttps::start(&root, options).await;
    setup.env("SSL_CERT_FILE", server.authority());
    (setup, repository, server)
}

#[tokio::test]
async fn https_with_the_right_authority_only() {
    let (mut setup, _repository, server) = over_https(&[("sub/dir/f", "1")], Options::default()).await;
    let source = format!("git::{}/r.git//sub@dir?ref=main", server.url());
    assert_eq!(list(&setup.fetch(&source).await.unwrap()), ["dir"]);
    setup.fetcher.env.remove(OsStr::new("SSL_CERT_FILE"));
    let (reason, message) = setup.refused(&source).await;
    assert_eq!(reason, "HostNotTrusted");
    let end = "the server's certificate is not trusted; put its authority into `ca.crt` of the source's Secret, or name a file with it in SSL_CERT_FILE";
    assert!(message.ends_with(end), "{message}");
    let (reason, _) = setup.refused("git::https://localhost:1/r.git").await;
    assert_eq!(reason, "HostUnreachable");
}

#[tokio::test]
async fn https_credentials_reach_their_host_and_nobody_else() {
    let credentials = Some(("bob".to_owned(), "hunter2 %'\"$(x)".to_owned()));
    let (setup, _repository, server) =
        over_https(&[("f", "1")], Options { credentials, ..Options::default() }).await;
    let source = |user_info: &str| format!("git::https://{user_info}{}/r.git?ref=main", server.address());
    let right = source("bob:hunter2%20%25'\"$(x)@");
    assert_eq!(read(&setup.fetch(&right).await.unwrap(), "f"), "1");
    let calls = setup.calls().join("\n");
    assert!(calls.contains("ls-remote") && !calls.contains("hunter2") && !calls.contains("bob"), "{calls}");
    let shown = format!("{} {:?}", setup.locator(&right), setup.locator(&right));
    assert!(shown.contains("***@") && !shown.contains("hunter2"), "{shown}");
    for wrong in [source("bob:hunter3@"), source("hunter3@"), source("")] {
        let (reason, message) = setup.refused(&wrong).await;
        assert_eq!(reason, "AuthenticationFailed");
        assert!(message.contains("authentication failed") && !message.contains("hunter"), "{message}");
    }
    // A server that sends us elsewhere gets what it asked for, but the other one gets no password.
    let away = Options { redirect: Some(server.url()), ..Options::default() };
    let liar = server.beside(Path::new("/"), away).await;
    let asked = server.requests().len();
    let (reason, _) =
        setup.refused(&format!("git::https://bob:hunter2@{}/r.git?ref=main", liar.address())).await;
    assert_eq!(reason, "AuthenticationFailed");
    let seen = server.requests().split_off(asked);
    assert!(!seen.is_empty() && seen.iter().all(|request| request.authorization.is_none()), "{seen:?}");
}

#[tokio::test]
async fn https_is_not_left_for_another_protocol() {
    let redirect = Some("http://localhost:1".to_owned());
    let (setup, _repository, server) =
        over_https(&[("f", "1")], Options { redirect, ..Options::default() }).await;
    let (reason, message) = setup.refused(&format!("git::{}/r.git", server.url())).await;
    assert_eq!(reason, "GitOperationFailed", "{message}");
    assert!(message.ends_with("the server redirects to a protocol that is not allowed here, or elsewhere with a token; write where it leads"), "{message}");
}

#[tokio::test]
async fn servers_that_refuse_commit_ids_still_work() {
    let options = Options { old_protocol: true, ..Options::default() };
    let (setup, repository, server) = over_https(&[("f", "1")], options).await;
    let source = format!("git::{}/r.git?ref=main", server.url());
    let first = setup.resolve(&source).await.unwrap();
    repository.commit(&[("f", "2")]);
    assert_eq!(read(&setup.fetch(&source).await.unwrap(), "f"), "2");
    setup.calls();
    assert_eq!(read(&setup.fetch_at(&source, &first).await.unwrap(), "f"), "1", "no longer a tip");
    let commands = setup.commands();
    assert_eq!(commands, ["init", "fetch", "fetch", "cat-file", "init", "fetch", "cat-file", "checkout"]);
    let missing = "0123456789012345678901234567890123456789";
    let (reason, message) = setup.refused(&format!("git::{}/r.git?ref={missing}", server.url())).await;
    assert_eq!(reason, "RefNotFound");
    assert!(message.starts_with(&format!("there is no commit `{missing}`")), "{message}");
}

#[tokio::test]
async fn ssh_with_known_hosts_only() {
    let server = GitSsh::start().await;
    let repository = Repository::new(&[("sub/dir/f", "1")]);
    let mut setup = Setup::new();
    let path = repository.path().display();
    let source = format!("git::ssh://{}{path}//sub@dir?ref=main", server.address());
    // Nothing is trusted without the folder, and nothing of the user's own.
    assert_eq!(setup.refused(&source).await.0, "AuthenticationFailed");
    let client = setup.folder.path().join("ssh keys");
    fs::create_dir(&client).unwrap();
    setup.fetcher.ssh = Some(client.clone());
    let (reason, message) = setup.refused(&source).await;
    assert_eq!(reason, "HostNotTrusted");
    assert!(message.contains(&format!("`ssh-keyscan -p {} localhost`", server.port())), "{message}");
    fs::copy(server.client().join("id_ed25519"), client.join("id_ed25519")).unwrap();
    fs::write(client.join("known_hosts"), "").unwrap();
    let (reason, message) = setup.refused(&source).await;
    assert_eq!((reason, message.contains("is not in `known_hosts`")), ("HostNotTrusted", true), "{message}");
    let known = read(&server.client(), "known_hosts");
    fs::write(client.join("known_hosts"), &known).unwrap();
    assert_eq!(list(&setup.fetch(&source).await.unwrap()), ["dir"]);
    assert_eq!(read(&client, "known_hosts"), known, "ssh writes nothing there");
    assert_eq!(
        setup.refused(&format!("git::ssh://{}{path}/gone", server.address())).await.0,
        "RepositoryNotFound"
    );
    // Another key in either place.
    let other = setup.folder.path().join("other");
    git_ssh::make_key(&other);
    fs::write(
        client.join("known_hosts"),
        format!("[localhost]:{} {}", server.port(), git_ssh::public_key(&other)),
    )
    .unwrap();
    let (reason, message) = setup.refused(&source).await;
    assert_eq!(
        (reason, message.contains("is not the one in `known_hosts`")),
        ("HostNotTrusted", true),
        "{message}"
    );
    fs::write(client.join("known_hosts"), &known).unwrap();
    fs::copy(&other, client.join("id_ed25519")).unwrap();
    assert_eq!(setup.refused(&source).await.0, "AuthenticationFailed");
    fs::copy(server.client().join("id_ed25519"), client.join("id_ed25519")).unwrap();
    fs::set_permissions(client.join("id_ed25519"), fs::Permissions::from_mode(0o644)).unwrap();
    let (reason, message) = setup.refused(&source).await;
    assert_eq!((reason, message.contains("chmod 600")), ("AuthenticationFailed", true), "{message}");
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
