//! Sources that are opened by credentials from elsewhere than their text.

use std::{ffi::OsStr, fs, path::Path};

use helmfile_operator::helmfile::fetch::{SourceCredentials, SshCredentials};

use super::{
    fetch_setup::{Setup, over_https, read},
    support::{
        git::Repository,
        git_https::Options,
        git_ssh::{self, GitSsh},
    },
};

const PASSWORD: &str = "hunter2 %'\"$(x)\\";

fn login(password: &str) -> SourceCredentials {
    SourceCredentials { login: Some(("bob".to_owned(), password.to_owned())), ..SourceCredentials::default() }
}

fn token(token: &str) -> SourceCredentials {
    SourceCredentials { bearer_token: Some(token.to_owned()), ..SourceCredentials::default() }
}

#[tokio::test]
async fn a_password_reaches_its_host_and_nobody_else() {
    let credentials = Some(("bob".to_owned(), PASSWORD.to_owned()));
    let (mut setup, _repository, server) =
        over_https(&[("f", "1")], Options { credentials, ..Options::default() }).await;
    let source = format!("git::{}/r.git?ref=main", server.url());
    assert_eq!(setup.refused(&source).await.0, "AuthenticationFailed");
    setup.given = Some(login(PASSWORD));
    assert_eq!(read(&setup.fetch(&source).await.unwrap(), "f"), "1");
    let inline = format!("git::https://eve:swordfish@{}/r.git?ref=main", server.address());
    assert!(setup.fetch(&inline).await.is_ok(), "what is given counts more than what the text says");
    let visible = setup.visible();
    assert!(visible.contains("ls-remote") && visible.contains("SOURCE_LOGIN="), "{visible}");
    assert!(
        !visible.contains("hunter2") && !visible.contains("bob") && !visible.contains("swordfish"),
        "{visible}"
    );
    assert!(!format!("{:?}", setup.locator(&source)).contains("hunter2"));
    assert_eq!(setup.private(), [""; 0], "no file stays");
    // A server that sends us elsewhere gets what it asked for, but the other one gets no password.
    let away = Options { redirect: Some(server.url()), ..Options::default() };
    let liar = server.beside(Path::new("/"), away).await;
    let asked = server.requests().len();
    let (reason, _) = setup.refused(&format!("git::{}/r.git?ref=main", liar.url())).await;
    assert_eq!(reason, "AuthenticationFailed");
    let seen = server.requests().split_off(asked);
    assert!(!seen.is_empty() && seen.iter().all(|request| request.authorization.is_none()), "{seen:?}");
    setup.given = Some(login("hunter3"));
    let (reason, message) = setup.refused(&format!("{source}&depth=2")).await;
    assert_eq!(reason, "AuthenticationFailed");
    assert!(!message.contains("hunter"), "{message}");
}

#[tokio::test]
async fn a_token_reaches_its_host_and_nobody_else() {
    let options = Options { token: Some("tok\"en\\".to_owned()), ..Options::default() };
    let (mut setup, _repository, server) = over_https(&[("f", "1")], options).await;
    setup.given = Some(token("tok\"en\\"));
    let source = format!("git::{}/r.git?ref=main", server.url());
    assert_eq!(read(&setup.fetch(&source).await.unwrap(), "f"), "1");
    let visible = setup.visible();
    assert!(visible.contains("ls-remote") && !visible.contains("tok\"en"), "{visible}");
    let away = Options { redirect: Some(server.url()), ..Options::default() };
    let liar = server.beside(Path::new("/"), away).await;
    let asked = server.requests().len();
    let (reason, message) = setup.refused(&format!("git::{}/r.git?ref=main", liar.url())).await;
    assert!(message.contains("the server redirects"), "{reason} {message}");
    assert_eq!(server.requests().len(), asked, "the other server is not even asked");
    assert!(liar.requests().iter().any(|request| request.authorization.is_some()), "and the first one is");
}

#[tokio::test]
async fn an_authority_is_trusted_for_one_source() {
    let (mut setup, _repository, server) = over_https(&[("f", "1")], Options::default()).await;
    setup.fetcher.env.remove(OsStr::new("SSL_CERT_FILE"));
    let source = format!("git::{}/r.git?ref=main", server.url());
    assert_eq!(setup.refused(&source).await.0, "HostNotTrusted");
    let authority = Some(fs::read_to_string(server.authority()).unwrap());
    setup.given = Some(SourceCredentials { authority, ..SourceCredentials::default() });
    assert!(setup.fetch(&source).await.is_ok());
    // Also where the operator's own environment names other authorities.
    setup.env("SSL_CERT_FILE", "/dev/null");
    assert!(setup.fetch(&source).await.is_ok());
}

#[tokio::test]
async fn a_key_opens_an_ssh_source_instead_of_the_operators_own() {
    let server = GitSsh::start().await;
    let repository = Repository::new(&[("f", "1")]);
    let mut setup = Setup::new();
    let source = format!("git::ssh://{}{}?ref=main", server.address(), repository.path().display());
    setup.fetcher.ssh = Some(server.client());
    setup.given = Some(login("x"));
    let (reason, message) = setup.refused(&source).await;
    assert_eq!(reason, "AuthenticationFailed");
    assert!(message.ends_with("the credentials hold no `identity` and `known_hosts`"), "{message}");
    setup.fetcher.ssh = None;
    let identity = read(&server.client(), "id_ed25519").trim_end().to_owned();
    let key =
        SshCredentials { identity, passphrase: None, known_hosts: read(&server.client(), "known_hosts") };
    let given = |key| Some(SourceCredentials { ssh: Some(key), ..SourceCredentials::default() });
    setup.given = given(SshCredentials { known_hosts: "other ssh-ed25519 AAAA\n".to_owned(), ..key.clone() });
    assert_eq!(setup.refused(&source).await.0, "HostNotTrusted");
    setup.given = given(key);
    assert_eq!(read(&setup.fetch(&source).await.unwrap(), "f"), "1");
    assert_eq!(setup.private(), [""; 0], "no file stays");
}

#[tokio::test]
async fn a_key_may_have_a_passphrase() {
    let server = GitSsh::start().await;
    let repository = Repository::new(&[("f", "1")]);
    let mut setup = Setup::new();
    let source = format!("git::ssh://{}{}?ref=main", server.address(), repository.path().display());
    let locked = setup.folder.path().join("locked");
    fs::copy(server.client().join("id_ed25519"), &locked).unwrap();
    git_ssh::lock_key(&locked, "open $esame'");
    let given = |passphrase: Option<&str>| {
        let ssh = SshCredentials {
            identity: fs::read_to_string(&locked).unwrap(),
            passphrase: passphrase.map(str::to_owned),
            known_hosts: read(&server.client(), "known_hosts"),
        };
        Some(SourceCredentials { ssh: Some(ssh), ..SourceCredentials::default() })
    };
    for wrong in [None, Some("closed")] {
        setup.given = given(wrong);
        assert_eq!(setup.refused(&source).await.0, "AuthenticationFailed", "{wrong:?}");
    }
    setup.given = given(Some("open $esame'"));
    assert_eq!(read(&setup.fetch(&source).await.unwrap(), "f"), "1");
    let visible = setup.visible();
    assert!(visible.contains("ls-remote") && !visible.contains("esame"), "{visible}");
}
