//! Files of values that are sources of their own.

use std::{fs, os::unix::fs::symlink, path::Path};

use helmfile_operator::helmfile::{
    api::HelmfileSpec,
    fetch::SourceCredentials,
    inputs::{FileError, ValuesFile, fetch_file, resolve_files},
};
use tokio_util::sync::CancellationToken;

use super::{
    fetch_setup::{Setup, over_https, read},
    support::{git::Repository, git_https::Options},
};

async fn resolve(
    setup: &Setup,
    source: &str,
    files: &[&str],
    credentials: &SourceCredentials,
) -> Result<Vec<ValuesFile>, FileError> {
    let files = files.iter().map(ToString::to_string).collect();
    let spec =
        HelmfileSpec { source: Some(source.to_owned()), values_files: files, ..HelmfileSpec::default() };
    resolve_files(&setup.fetcher, &spec, setup.folder.path(), credentials, &CancellationToken::new()).await
}

fn login(user: &str, password: &str) -> SourceCredentials {
    let login = Some((user.to_owned(), password.to_owned()));
    SourceCredentials { login, ..SourceCredentials::default() }
}

#[tokio::test]
async fn a_file_elsewhere_has_a_revision_and_a_path() {
    let setup = Setup::new();
    let repository = Repository::new(&[("deep/values.yaml", "a: 1"), ("deep/folder/x", "")]);
    let url = format!("git::{}", repository.url());
    let stop = CancellationToken::new();
    let none = SourceCredentials::default();
    let items = ["inside.yaml", &format!("{url}//deep@values.yaml?ref=main")];
    let files = resolve(&setup, ".", &items, &none).await.unwrap();
    let [inside, elsewhere] = files.as_slice() else { panic!("{files:?}") };
    assert_eq!(*inside, ValuesFile::Inside("inside.yaml".to_owned()));
    assert_eq!(fetch_file(&setup.fetcher, inside, &stop).await.unwrap(), None);
    let ValuesFile::Elsewhere(file) = elsewhere else { panic!("{elsewhere:?}") };
    let revision = &file.revision;
    assert_eq!(revision.to_string(), format!("main@sha1:{}", repository.head()));
    assert_eq!(setup.calls().len(), 1, "nothing is downloaded yet");
    let path = fetch_file(&setup.fetcher, elsewhere, &stop).await.unwrap().unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), "a: 1");
    let before = revision.clone();
    repository.commit(&[("deep/values.yaml", "a: 2")]);
    let files = resolve(&setup, ".", &items, &none).await.unwrap();
    let ValuesFile::Elsewhere(file) = &files[1] else { panic!("{files:?}") };
    assert_ne!(file.revision, before);

    let fails = async |item: &str| {
        let files = match resolve(&setup, ".", &["x.yaml", item], &none).await {
            Ok(files) => files,
            Err(error) => return (error.reason(), error.to_string()),
        };
        let error = fetch_file(&setup.fetcher, &files[1], &stop).await.unwrap_err();
        (error.reason(), error.to_string())
    };
    let plain = repository.url();
    let table = [
        (
            url.clone(),
            "InvalidSpec",
            format!("valuesFiles[1] names no file in `{url}`; add `@FILE` after the repository or folder"),
        ),
        (
            format!("{url}//deep@folder"),
            "FileNotFound",
            format!("valuesFiles[1] names `{url}//deep@folder`, which is a folder and no file of values"),
        ),
        (
            format!("{url}//deep@x.yaml"),
            "PathNotFound",
            format!(
                "valuesFiles[1]: the file `@x.yaml` does not exist in `{plain}`; there is `folder`, `values.yaml`"
            ),
        ),
        (
            format!("{url}@x?ref=gone"),
            "RefNotFound",
            format!("valuesFiles[1]: there is no branch or tag `gone` in `{plain}`"),
        ),
    ];
    for (item, reason, message) in table {
        assert_eq!(fails(&item).await, (reason, message), "{item}");
    }
}

#[tokio::test]
async fn credentials_of_the_source_are_shown_to_its_own_server_only() {
    let credentials = Some(("bob".to_owned(), "hunter2".to_owned()));
    let (setup, repository, server) =
        over_https(&[("v.yaml", "a: 1")], Options { credentials: credentials.clone(), ..Options::default() })
            .await;
    let root = setup.folder.path().join("other");
    fs::create_dir(&root).unwrap();
    symlink(repository.path().join(".git"), root.join("r.git")).unwrap();
    let other = server.beside(&root, Options { credentials, ..Options::default() }).await;
    let source = format!("git::{}/some.git", server.url());
    let bob = login("bob", "hunter2");
    let file = format!("git::{}/r.git@v.yaml?ref=main", server.url());
    let files = resolve(&setup, &source, &[&file], &bob).await.unwrap();
    let path = fetch_file(&setup.fetcher, &files[0], &CancellationToken::new()).await.unwrap().unwrap();
    assert_eq!(read(path.parent().unwrap_or(Path::new("/")), "v.yaml"), "a: 1");
    let file = format!("git::{}/r.git@v.yaml?ref=main", other.url());
    let error = resolve(&setup, &source, &[&file], &bob).await.unwrap_err();
    assert_eq!(error.reason(), "AuthenticationFailed");
    let seen = other.requests();
    assert!(!seen.is_empty() && seen.iter().all(|request| request.authorization.is_none()), "{seen:?}");
}
