//! `helm repo add` with credentials of the spec: the password goes through a pipe, and only to the host that it is for.

use super::answer::Session;
use crate::helmfile::{
    helm::front::{Asked, Told},
    inputs::Repository,
};

impl Session<'_> {
    /// The credentials for a repository, unless the helmfile has some of its own for it.
    pub(super) fn credentials(&self, asked: &Asked, url: &str) -> Option<&Repository> {
        let has_own =
            asked.args.iter().any(|arg| arg.starts_with("--username") || arg.starts_with("--password"));
        if has_own { None } else { best(self.setting.repositories, url) }
    }

    /// Adds it.
    pub(super) async fn add_repository(&self, asked: &Asked, repository: &Repository) -> Told {
        let login = ["--username".to_owned(), repository.username.clone(), "--password-stdin".to_owned()];
        let args = asked.args.iter().cloned().chain(login).collect();
        self.run(asked, args, format!("{}\n", repository.password).into_bytes()).await
    }
}

/// The one whose URL is the repository's or a folder above it; the longest of several.
fn best<'a>(repositories: &'a [Repository], url: &str) -> Option<&'a Repository> {
    let url = url.trim_end_matches('/');
    let covers = |repository: &&Repository| {
        let own = repository.url.trim_end_matches('/');
        url.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    repositories.iter().filter(covers).max_by_key(|repository| repository.url.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_goes_nowhere_else() {
        let repository = |url: &str, username: &str| Repository {
            url: url.into(),
            username: username.into(),
            password: "p".into(),
        };
        let all = [repository("https://h/charts/", "one"), repository("https://h/charts/deep", "two")];
        let user = |url: &str| best(&all, url).map(|found| found.username.as_str());
        assert_eq!(user("https://h/charts"), Some("one"));
        assert_eq!(user("https://h/charts/stable/"), Some("one"));
        assert_eq!(user("https://h/charts/deep/er"), Some("two"));
        for other in [
            "https://h/chartsx",
            "https://h.evil/charts",
            "http://h/charts",
            "https://h",
            "https://h:1/charts",
        ] {
            assert_eq!(user(other), None, "{other}");
        }
    }
}
