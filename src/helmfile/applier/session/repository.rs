//! `helm repo add` with credentials of the spec: the password goes through a pipe, and only to the host that it is for.

use super::{answer::Session, heard::Objection};
use crate::helmfile::{
    api::names::reason,
    helm::front::{Asked, Told},
    inputs::Repository,
};

impl Session<'_> {
    /// The credentials for a repository, unless the helmfile has some of its own for it.
    ///
    /// # Errors
    /// When the helmfile would have helm send them to others as well.
    pub(super) fn credentials(&self, asked: &Asked, url: &str) -> Result<Option<&Repository>, Objection> {
        let has_own =
            asked.args.iter().any(|arg| arg.starts_with("--username") || arg.starts_with("--password"));
        let Some(found) = best(self.setting.repositories, url).filter(|_| !has_own) else { return Ok(None) };
        match leak(&asked.args, &found.url) {
            None => Ok(Some(found)),
            Some(message) => Err(self.objection(&Objection {
                reason: reason::HELMFILE_INVALID,
                message,
                permanent: false,
            })),
        }
    }

    /// Why helm must not make this call: it would hand a login of the spec to whoever answers, as it checks no certificate.
    pub(super) fn unchecked(&self, asked: &Asked) -> Option<Objection> {
        let (flag, ..) = LEAKS[1];
        let is_unchecked = self.setting.has_logins && asked.args.iter().any(|arg| is_on(flag, arg));
        is_unchecked.then(|| {
            self.objection(&Objection {
                reason: reason::HELMFILE_INVALID,
                message: "the logins of the spec's `registries` would go to whoever answers in a registry's place, since the helmfile \
                          says `insecureSkipTLSVerify` or `skipTLSVerify`; take that out of the helmfile, or the logins out of the spec"
                    .to_owned(),
                permanent: false,
            })
        })
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

/// Flags of `helm repo add` that give a password to more than one host: the flag, its field in a helmfile, to whom.
const LEAKS: [(&str, &str, &str); 2] = [
    ("--pass-credentials", "passCredentials", "every host that the repository's index names"),
    ("--insecure-skip-tls-verify", "skipTLSVerify", "whoever answers in the repository's place"),
];

/// Why a login of the spec for `url` must not be added to such a call; `None` when it may.
fn leak(args: &[String], url: &str) -> Option<String> {
    let (_, field, whom) = LEAKS.iter().find(|(flag, ..)| args.iter().any(|arg| is_on(flag, arg)))?;
    Some(format!(
        "the login that the spec's `registries` have for {url} would go to {whom}, since the helmfile says `{field}` for that \
         repository; take `{field}` out of the helmfile, or the repository out of `registries`"
    ))
}

/// Whether an argument switches a flag on.
fn is_on(flag: &str, arg: &str) -> bool {
    arg.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || (rest.starts_with('=') && rest != "=false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_added_where_helm_would_pass_it_on() {
        let said = |more: &str| {
            let line = format!("repo add a https://h/charts --force-update {more}");
            leak(&line.split(' ').map(str::to_owned).collect::<Vec<_>>(), "https://h/charts")
        };
        for (more, field) in [
            ("--pass-credentials", "passCredentials"),
            ("--pass-credentials=true", "passCredentials"),
            ("--insecure-skip-tls-verify", "skipTLSVerify"),
        ] {
            let said = said(more).unwrap();
            assert!(said.contains("https://h/charts") && said.contains(&format!("`{field}`")), "{said}");
        }
        for more in ["", "--pass-credentials=false", "--ca-file /x"] {
            assert_eq!(said(more), None, "{more}");
        }
    }

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
