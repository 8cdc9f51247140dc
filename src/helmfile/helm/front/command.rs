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

/// Tells what a call wants.
///
/// # Errors
/// For a call that changes a release, and does not name it where helmfile does.
pub fn classify(args: &[String]) -> Result<Command<'_>, Malformed> {
    let words: Vec<&str> = args.iter().take(4).map(String::as_str).collect();
    let named = |word: &str| !word.is_empty() && !word.starts_with('-');
    Ok(match *words.as_slice() {
        ["version", ..] => Command::Version,
        ["dependency", "build" | "up" | "update", chart, ..] if named(chart) => {
            Command::Dependencies { chart }
        }
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
        let (name, value) = word.split_once('=')?;
        names.contains(&name).then_some(value)
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
        ] {
            assert!(classify(&words(line)).is_err(), "{line}");
        }
        assert_eq!(classify(&[]), Ok(Command::Other));
    }
}
