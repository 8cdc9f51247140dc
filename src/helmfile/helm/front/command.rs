//! What helmfile wants of helm. Pure.

/// A call of helm, as far as the applier cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command<'a> {
    /// `version …`: the same answer for the whole run.
    Version,
    /// `dependency build|update CHART`.
    Dependencies {
        /// The chart.
        chart: &'a str,
    },
    /// `diff upgrade …`, without these two words.
    Diff(&'a [String]),
    /// `upgrade --install RELEASE CHART …`.
    Upgrade {
        /// Name of the release.
        release: &'a str,
        /// Its namespace, if it is said.
        namespace: Option<&'a str>,
    },
    /// `uninstall RELEASE …`.
    Uninstall {
        /// Name of the release.
        release: &'a str,
        /// Its namespace, if it is said.
        namespace: Option<&'a str>,
    },
    /// `list --filter ^RELEASE$ …`: whether a release is there, in which version.
    Find {
        /// Name of the release.
        release: &'a str,
        /// Its namespace, if it is said.
        namespace: Option<&'a str>,
    },
    /// `repo add NAME URL …`.
    AddRepository {
        /// Our name for it.
        name: &'a str,
        /// Where it is.
        url: &'a str,
    },
    /// Anything else: helm's own business.
    Other,
}

/// A call that changes releases, in a form that helmfile does not use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`helm {0}` was called in a form that the applier does not know, so that it can't tell which release is meant; \
     it knows helmfile 1.x"
)]
pub struct Malformed(pub String);

/// Flags of helm itself that may stand before a subcommand, with a value. So may `--debug`, `--help` and their kind, without.
const GLOBAL: [&str; 17] = [
    "--burst-limit",
    "--color",
    "--colour",
    "--content-cache",
    "--kube-apiserver",
    "--kube-as-group",
    "--kube-as-user",
    "--kube-ca-file",
    "--kube-context",
    "--kube-tls-server-name",
    "--kube-token",
    "--kubeconfig",
    "--namespace",
    "--qps",
    "--registry-config",
    "--repository-cache",
    "--repository-config",
];
const GLOBAL_SWITCHES: [&str; 4] = ["--debug", "--help", "--kube-insecure-skip-tls-verify", "-h"];

/// A call from its subcommand on.
fn subcommand(args: &[String]) -> Result<&[String], Malformed> {
    let mut rest = args;
    while let [flag, others @ ..] = rest
        && flag.starts_with('-')
    {
        let (name, value) = parts(flag);
        rest = match value {
            _ if GLOBAL_SWITCHES.contains(&name) => others,
            Some(_) if name == "-n" || GLOBAL.contains(&name) => others,
            None if name == "-n" || GLOBAL.contains(&name) => others.get(1..).unwrap_or_default(),
            _ => return Err(Malformed(name.to_owned())),
        };
    }
    Ok(rest)
}

/// A flag, and the value that is in the same word.
fn parts(word: &str) -> (&str, Option<&str>) {
    match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None if word.starts_with("--") => (word, None),
        // A letter, and its value right behind it.
        None => match word.split_at_checked(2) {
            Some((name, value)) if !value.is_empty() => (name, Some(value)),
            _ => (word, None),
        },
    }
}

/// Tells what a call wants.
///
/// # Errors
/// For a call that changes a release, and does not name it where helmfile does, or one that begins with a flag that helm
/// does not have: no one knows where its subcommand is.
pub fn classify(args: &[String]) -> Result<Command<'_>, Malformed> {
    let call = subcommand(args)?;
    let words: Vec<&str> = call.iter().take(4).map(String::as_str).collect();
    let named = |word: &str| !word.is_empty() && !word.starts_with('-');
    Ok(match *words.as_slice() {
        ["version", ..] => Command::Version,
        ["dependency", "build" | "up" | "update", chart, ..] if named(chart) => {
            Command::Dependencies { chart }
        }
        // What stands before it is meant for helm, which hands it to the plugin.
        ["diff", "upgrade", ..] if call.len() < args.len() => Command::Other,
        ["diff", "upgrade", ..] => Command::Diff(args.get(2..).unwrap_or_default()),
        ["upgrade", "--install", release, chart] if named(release) && named(chart) => {
            Command::Upgrade { release, namespace: flag(args, &["--namespace", "-n"]) }
        }
        ["uninstall" | "delete", release, ..] if named(release) => {
            Command::Uninstall { release, namespace: flag(args, &["--namespace", "-n"]) }
        }
        ["upgrade" | "install" | "uninstall" | "delete" | "rollback", ..] => {
            return Err(Malformed(words.first().copied().unwrap_or_default().to_owned()));
        }
        ["list", "--filter", filter, ..] => {
            match filter.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')) {
                Some(release) if release.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') => {
                    Command::Find { release, namespace: flag(args, &["--namespace", "-n"]) }
                }
                _ => Command::Other,
            }
        }
        ["repo", "add", name, url] if named(name) && named(url) => Command::AddRepository { name, url },
        _ => Command::Other,
    })
}

/// The value of a flag, given as one word or two; the last one counts.
fn flag<'a>(args: &'a [String], names: &[&str]) -> Option<&'a str> {
    let with_next = args.iter().zip(args.iter().skip(1).map(Some).chain([None]));
    let value = |(word, next): (&'a String, Option<&'a String>)| {
        if names.contains(&word.as_str()) {
            return next.map(String::as_str);
        }
        let (name, value) = parts(word);
        value.filter(|_| names.contains(&name))
    };
    with_next.filter_map(value).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn knows_what_helmfile_asks() {
        let release = "web";
        let namespace = Some("shop");
        for (line, expected) in [
            ("version --short", Command::Version),
            ("version --template={{.Version}}+g{{.GitCommit}}", Command::Version),
            ("dependency build charts/web", Command::Dependencies { chart: "charts/web" }),
            ("dependency up /tmp/x", Command::Dependencies { chart: "/tmp/x" }),
            (
                "upgrade --install web ./chart --create-namespace --namespace shop --values /v --history-max 10",
                Command::Upgrade { release, namespace },
            ),
            ("upgrade --install web ./chart", Command::Upgrade { release, namespace: None }),
            ("uninstall web --namespace=shop", Command::Uninstall { release, namespace }),
            ("delete web -n shop", Command::Uninstall { release, namespace }),
            (
                "list --filter ^web$ --namespace shop --uninstalling --deployed",
                Command::Find { release, namespace },
            ),
            ("list --filter ^w.*$ --namespace shop", Command::Other),
            (
                "repo add x https://h/c --force-update",
                Command::AddRepository { name: "x", url: "https://h/c" },
            ),
            ("upgrade --install web ./chart -nshop", Command::Upgrade { release, namespace }),
            (
                "--kube-context a --debug upgrade --install web ./chart -n shop",
                Command::Upgrade { release, namespace },
            ),
            ("--namespace shop --qps=5 uninstall web", Command::Uninstall { release, namespace }),
            ("-nshop uninstall web", Command::Uninstall { release, namespace }),
            ("--debug template web ./chart", Command::Other),
            ("--namespace shop diff upgrade web ./chart", Command::Other),
            ("--help", Command::Other),
            ("--kube-context", Command::Other),
            ("template web ./chart", Command::Other),
            ("pull oci://h/c", Command::Other),
        ] {
            assert_eq!(classify(&words(line)), Ok(expected), "{line}");
        }
        assert_eq!(
            classify(&words("diff upgrade --allow-unreleased web ./c")),
            Ok(Command::Diff(&words("--allow-unreleased web ./c")))
        );
    }

    #[test]
    fn what_changes_a_release_is_known_or_refused() {
        for line in [
            "upgrade web ./chart",
            "upgrade --install --namespace shop web",
            "install web c",
            "rollback web 1",
            "uninstall --all",
            "--kube-context a upgrade web ./chart",
            "--kube-context=a rollback web 1",
            "--unheard upgrade --install web ./chart",
            "-x template web ./chart",
        ] {
            assert!(classify(&words(line)).is_err(), "{line}");
        }
        let secret = words("--unheard=hunter2 uninstall web");
        assert_eq!(classify(&secret), Err(Malformed("--unheard".to_owned())));
        assert_eq!(classify(&[]), Ok(Command::Other));
    }
}
