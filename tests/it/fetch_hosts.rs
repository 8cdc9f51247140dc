//! Sources on servers: Git over https and ssh.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use super::{
    fetch_setup::{Setup, list, over_https, read},
    support::{
        git::Repository,
        git_https::{Options, Silent},
        git_ssh::{self, GitSsh},
        processes,
    },
};

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
