//! How helmfile is called: its arguments and its whole environment, as pure functions.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use super::workspace::Layout;
use crate::environment::Environment;
use crate::helmfile::{
    api::{HelmfileSpec, names},
    helm::front,
};

/// What `helmfile` is asked for, whatever the subcommand.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    /// What it takes for helm.
    pub front: &'a Path,
    /// The helmfile, relative to the working directory.
    pub helmfile: &'a Path,
    /// The spec.
    pub spec: &'a HelmfileSpec,
    /// Files of values, the lowest layer first.
    pub values: &'a [PathBuf],
}

impl Call<'_> {
    /// Makes the cluster equal to the helmfile.
    pub(crate) fn apply(&self) -> Vec<OsString> {
        let mut args = self.globals();
        args.extend(self.selectors());
        // 2 for changed tells a delivery from a look.
        args.extend(["apply", "--detailed-exitcode"].map(OsString::from));
        args.extend(self.concurrency());
        // Nobody reads the diff and the notes here, and both can show secrets.
        args.extend(["--suppress-diff", "--suppress-secrets", "--hide-notes"].map(OsString::from));
        args.extend(self.spec.adopt.then(|| OsString::from("--take-ownership")));
        args
    }

    /// Lists all releases in the file, whatever is selected.
    pub(crate) fn list(&self) -> Vec<OsString> {
        let mut args = self.globals();
        args.extend(["list", "--output", "json", "--skip-charts"].map(OsString::from));
        args
    }

    /// Removes all releases, whatever is selected.
    pub(crate) fn destroy(&self) -> Vec<OsString> {
        let mut args = self.globals();
        args.extend(["destroy", "--skip-charts"].map(OsString::from));
        args.extend(self.concurrency());
        args
    }

    /// helmfile's own default is no limit at all.
    fn concurrency(&self) -> [OsString; 2] {
        ["--concurrency".into(), self.spec.concurrency.max(1).to_string().into()]
    }

    fn selectors(&self) -> impl Iterator<Item = OsString> {
        self.spec.selector.iter().map(|labels| joined("--selector=", OsStr::new(labels)))
    }

    /// Values go in files only: arguments are visible to every process of the machine.
    fn globals(&self) -> Vec<OsString> {
        let mut args = vec![
            joined("--helm-binary=", self.front.as_os_str()),
            joined("--file=", self.helmfile.as_os_str()),
        ];
        args.extend(self.spec.environment.iter().map(|name| joined("--environment=", OsStr::new(name))));
        args.extend(self.values.iter().map(|file| joined("--state-values-file=", file.as_os_str())));
        args
    }
}

fn joined(flag: &str, value: &OsStr) -> OsString {
    let mut argument = OsString::from(flag);
    argument.push(value);
    argument
}

/// Whose delivery this is, for the helmfile's templates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity<'a> {
    /// The Helmfile's name.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Branch or tag of the revision.
    pub branch: Option<&'a str>,
    /// The revision's digest, for a Git source the commit's.
    pub revision: &'a str,
}

/// A name in `envvars` that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// On the list.
    #[error("envvars and env may not set `{name}`{}: it steers the programs of the applier", also(.name, .entry))]
    Refused {
        /// The name.
        name: String,
        /// The entry of the list.
        entry: &'static str,
    },
    /// No name at all.
    #[error("`{0}` in envvars or env is no name of a variable; use letters, digits and underscores")]
    Malformed(String),
    /// A value that no program can be given.
    #[error("the value of `{0}` in envvars or env has a NUL character")]
    Value(String),
}

fn also(name: &str, entry: &str) -> String {
    if name == entry { String::new() } else { format!(" (like all of {entry})") }
}

/// Checks the variables that a spec sets: names and, where they are known already, values.
///
/// # Errors
/// For the first one that is refused.
pub(crate) fn check_envvars<'a>(
    variables: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), EnvironmentError> {
    for (name, value) in variables {
        let mut letters = name.chars();
        let starts_well = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
        if !starts_well || letters.any(|other| !other.is_ascii_alphanumeric() && other != '_') {
            return Err(EnvironmentError::Malformed(name.to_owned()));
        }
        if let Some(entry) = names::refuses(name) {
            return Err(EnvironmentError::Refused { name: name.to_owned(), entry });
        }
        if value.contains('\0') {
            return Err(EnvironmentError::Value(name.to_owned()));
        }
    }
    Ok(())
}

/// The environment of helmfile and all it starts, made from nothing: what passes of `ambient`, over it the spec's
/// variables, over all our own.
pub(crate) fn environment(
    ambient: &Environment,
    envvars: &BTreeMap<String, String>,
    layout: &Layout,
    identity: Identity<'_>,
) -> Environment {
    let passed = ambient.iter().filter(|(name, _)| name.to_str().is_some_and(names::passes));
    let mut env: Environment = passed.map(|(name, value)| (name.clone(), value.clone())).collect();
    env.extend(envvars.iter().map(|(name, value)| (name.into(), value.into())));
    let folders = [
        ("HOME", layout.home()),
        ("TMPDIR", layout.tmp()),
        ("HELMFILE_TEMPDIR", layout.tmp()),
        ("CHARTIFY_TEMPDIR", layout.tmp().join("chartify")),
        ("XDG_CACHE_HOME", layout.home().join(".cache")),
        ("XDG_CONFIG_HOME", layout.home().join(".config")),
        ("XDG_DATA_HOME", layout.home().join(".local/share")),
        ("HELM_CONFIG_HOME", layout.home().join(".config/helm")),
        ("HELM_DATA_HOME", layout.home().join(".local/share/helm")),
        ("HELM_CACHE_HOME", layout.downloads().join("helm")),
        ("HELMFILE_CACHE_HOME", layout.downloads().join("helmfile")),
        ("HELM_PLUGINS", layout.plugins()),
        ("KUBECONFIG", layout.kubeconfig()),
        ("HELM_REGISTRY_CONFIG", layout.registries()),
        (front::ENV_SESSION, layout.root().to_owned()),
    ];
    env.extend(folders.into_iter().map(|(name, path)| (name.into(), path.into_os_string())));
    let texts = [
        (names::ENV_NAME, identity.name),
        (names::ENV_NAMESPACE, identity.namespace),
        (names::ENV_REVISION, identity.revision),
        (names::ENV_BRANCH, identity.branch.unwrap_or_default()),
        // Plain, unchanging output, without questions or looks at the internet for a newer helmfile.
        ("NO_COLOR", "1"),
        ("HELMFILE_DISABLE_RUNNER_UNIQUE_ID", "1"),
        ("HELMFILE_UPGRADE_NOTICE_DISABLED", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
    ];
    env.extend(texts.into_iter().map(|(name, value)| (name.into(), value.into())));
    env
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(value: serde_json::Value) -> HelmfileSpec {
        serde_json::from_value(value).unwrap()
    }

    fn text(args: &[OsString]) -> String {
        args.join(OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn says_what_the_spec_says_and_no_value() {
        let spec = spec(json!({
            "environment": "prod", "selector": ["tier=front,name!=db", "-x"], "values": {"password": "hunter2"}
        }));
        let call = Call {
            front: Path::new("/f/helm"),
            helmfile: Path::new("a/helmfile.yaml"),
            spec: &spec,
            values: &["/w/1.yaml".into(), "/w/2.yaml".into()],
        };
        let globals = "--helm-binary=/f/helm --file=a/helmfile.yaml --environment=prod --state-values-file=/w/1.yaml \
                       --state-values-file=/w/2.yaml";
        assert_eq!(
            text(&call.apply()),
            format!(
                "{globals} --selector=tier=front,name!=db --selector=-x apply --detailed-exitcode --concurrency 2 \
                 --suppress-diff --suppress-secrets --hide-notes"
            )
        );
        assert_eq!(text(&call.destroy()), format!("{globals} destroy --skip-charts --concurrency 2"));
        let adopting = HelmfileSpec { adopt: true, ..spec.clone() };
        assert!(text(&Call { spec: &adopting, ..call.clone() }.apply()).ends_with(" --take-ownership"));
        assert_eq!(text(&call.list()), format!("{globals} list --output json --skip-charts"));
    }

    #[test]
    fn the_environment_is_made_from_nothing() {
        let ambient: Environment = [
            ("PATH", "/bin"),
            ("HOME", "/root"),
            ("HTTPS_PROXY", "http://proxy"),
            ("AWS_REGION", "eu"),
            ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
            ("SECRET_OF_THE_OPERATOR", "x"),
            ("HELM_PLUGINS", "/p"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        let envvars = [("AWS_REGION", "us"), ("TIER", "front"), ("NO_COLOR", "0")]
            .map(|(n, v)| (n.to_owned(), v.to_owned()));
        let layout = Layout::new("/run/1", "/cache/x");
        let identity = Identity { name: "web", namespace: "shop", branch: Some("main"), revision: "abc" };
        let env = environment(&ambient, &envvars.into(), &layout, identity);
        let get = |name: &str| env.get(OsStr::new(name)).and_then(|value| value.to_str());
        assert_eq!(get("PATH"), Some("/bin"));
        assert_eq!(get("AWS_REGION"), Some("us"), "the spec's variable lies over the pod's");
        assert_eq!(get("TIER"), Some("front"));
        assert_eq!(get("NO_COLOR"), Some("1"), "ours lie over the spec's");
        assert_eq!(get("HTTPS_PROXY"), Some("http://proxy"));
        assert_eq!(get("SECRET_OF_THE_OPERATOR"), None);
        assert_eq!(get("KUBERNETES_SERVICE_HOST"), None);
        assert_eq!(get("HELM_CACHE_HOME"), Some("/cache/x/helm"));
        assert_eq!((get(names::ENV_REVISION), get(names::ENV_BRANCH)), (Some("abc"), Some("main")));
        assert_eq!((get(names::ENV_NAME), get(names::ENV_NAMESPACE)), (Some("web"), Some("shop")));
        for private in [
            "HOME",
            "TMPDIR",
            "KUBECONFIG",
            "HELM_PLUGINS",
            "HELM_CONFIG_HOME",
            "HELM_DATA_HOME",
            "XDG_CACHE_HOME",
        ] {
            assert!(get(private).unwrap().starts_with("/run/1/"), "{private}");
        }
    }

    #[test]
    fn names_that_steer_are_refused() {
        let check = |name: &str, value: &str| check_envvars([(name, value)]).map_err(|e| e.to_string());
        assert_eq!(check("GIT_COMMIT", "1"), Ok(()));
        assert_eq!(
            check("PATH", "/x").unwrap_err(),
            "envvars and env may not set `PATH`: it steers the programs of the applier"
        );
        assert_eq!(
            check("LD_PRELOAD", "/x").unwrap_err(),
            "envvars and env may not set `LD_PRELOAD` (like all of LD_*): it steers the programs of the applier"
        );
        assert_eq!(
            check("A=B", "").unwrap_err(),
            "`A=B` in envvars or env is no name of a variable; use letters, digits and underscores"
        );
        assert!(check("", "").is_err() && check("1A", "").is_err());
        assert_eq!(check("A", "a\0b").unwrap_err(), "the value of `A` in envvars or env has a NUL character");
    }
}
