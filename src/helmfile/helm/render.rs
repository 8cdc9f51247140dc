//! `helm template`, asked so that it says what `helm upgrade` would.
//!
//! Without a cluster, templates see other API versions than they will see in the upgrade, and `lookup` finds nothing:
//! the result would differ for ever from what is deployed. Asking the cluster costs four times as much. So a chart is
//! looked at first ([`Traits`]), and gets what it can make use of.

use std::{
    collections::BTreeSet,
    fmt,
    io::{BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::{
    environment::Environment,
    process::{Command, Guard, SessionError},
    redact,
};

/// The helm to run and the world it runs in.
#[derive(Clone)]
pub struct Helm {
    /// Full path of the program.
    pub program: PathBuf,
    /// Its whole environment: where its files and the cluster are.
    pub env: Environment,
    /// The folder that relative paths start from.
    pub folder: PathBuf,
    /// Runs it.
    pub guard: Guard,
}

impl fmt::Debug for Helm {
    /// Without the environment, which may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Helm")
            .field("program", &self.program)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// What is to be rendered.
pub struct Request<'a> {
    /// Name of the release.
    pub release: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// The chart, as helm takes it.
    pub chart: &'a str,
    /// Further flags for `helm template`.
    pub flags: Vec<String>,
    /// Values below all that the flags give.
    pub values: Option<&'a Map<String, Value>>,
}

/// Why nothing was rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// Helm did not run to its end.
    #[error("failed to run `helm template`")]
    Run(#[source] SessionError),
    /// Helm refused.
    #[error("failed to render chart `{chart}`: {said}")]
    Failed {
        /// The chart.
        chart: String,
        /// What helm said.
        said: String,
    },
    /// Helm printed something that is no text.
    #[error("`helm template` of chart `{0}` printed invalid UTF-8")]
    NotText(String),
}

/// Runs `helm template` and gives the manifests, hooks included.
///
/// # Errors
/// When helm fails.
pub async fn template(
    helm: &Helm,
    request: &Request<'_>,
    stop: &CancellationToken,
) -> Result<String, RenderError> {
    let mut args = vec!["template".to_owned(), format!("--namespace={}", request.namespace)];
    let mut command = Command::new(&helm.program, &helm.folder).envs(helm.env.clone());
    if let Some(values) = request.values {
        // By a pipe, since old values hold secrets that are in no file yet.
        args.push("--values=-".to_owned());
        command.input = Value::Object(values.clone()).to_string().into_bytes();
    }
    args.extend(request.flags.iter().cloned());
    args.extend(["--".to_owned(), request.release.to_owned(), request.chart.to_owned()]);
    let command = Command { stdout_limit: STDOUT_LIMIT, ..command.args(args) };
    let chart = redact::urls(request.chart);
    let finished = command.run(&helm.guard, stop, &mut |_| ()).await.map_err(RenderError::Run)?;
    if !finished.status.success() {
        let said = match complaint(&finished.stderr) {
            "" => finished.status.to_string(),
            said => redact::urls(said).into_owned(),
        };
        return Err(RenderError::Failed { chart: chart.into_owned(), said });
    }
    let text = String::from_utf8(finished.stdout).map_err(|_| RenderError::NotText(chart.into_owned()))?;
    Ok(manifests(&text).to_owned())
}

/// Helm's own error, without the warnings before it.
fn complaint(stderr: &str) -> &str {
    let own = stderr.strip_prefix("Error: ").or_else(|| Some(stderr.split_once("\nError: ")?.1));
    own.unwrap_or(stderr).trim()
}

/// Charts with dashboards and CRDs render to megabytes; a release can't hold more than this.
const STDOUT_LIMIT: usize = 256 << 20;

/// What helm has rendered begins with a line of dashes; before it is what it says about downloading the chart.
fn manifests(text: &str) -> &str {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return text.split_at(at).1;
        }
        at += line.len();
    }
    ""
}

/// API versions as flags for `helm template`; there can be more than fit into one argument.
pub fn api_version_flags(served: &BTreeSet<String>) -> Vec<String> {
    let all: Vec<&str> = served.iter().map(String::as_str).collect();
    all.chunks(200).map(|some| format!("--api-versions={}", some.join(","))).collect()
}

/// What a chart and its values can ask of a cluster, as far as their bytes tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traits {
    /// They can read objects.
    pub lookup: bool,
    /// They can ask for API versions.
    pub api_versions: bool,
    /// They can tell an installation from an upgrade, or the number of the revision.
    pub revision: bool,
    /// Versions of Kubernetes' own API groups that they name.
    pub named: BTreeSet<String>,
}

impl Traits {
    /// Adds what a text can ask for.
    pub fn add(&mut self, text: &str) {
        self.lookup |= text.contains("lookup");
        self.api_versions |= text.contains("APIVersions");
        self.revision |= ["IsInstall", "IsUpgrade", "Revision"].iter().any(|name| text.contains(name));
        for group in BUILT_IN {
            let versions = text.match_indices(group).filter_map(|(at, _)| {
                let rest = text.split_at(at + group.len()).1.strip_prefix('/')?;
                let version: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
                let number = version.strip_prefix('v')?;
                number.starts_with(|c: char| c.is_ascii_digit()).then(|| format!("{group}/{version}"))
            });
            self.named.extend(versions);
        }
    }

    /// Whether the cluster must render: to read objects, or because the chart names an old version that the cluster has
    /// given up. Helm's own list, to which `--api-versions` only adds, still has those.
    pub fn need_server(&self, served: &BTreeSet<String>) -> bool {
        let given_up = || self.named.iter().any(|version| !served.contains(version));
        self.lookup || (self.api_versions && (served.is_empty() || given_up()))
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.lookup |= other.lookup;
        self.api_versions |= other.api_versions;
        self.revision |= other.revision;
        self.named.extend(other.named);
        self
    }
}

/// The groups of Helm's own list that have, or had, more than one version.
const BUILT_IN: [&str; 22] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "extensions",
    "flowcontrol.apiserver.k8s.io",
    "imagepolicy.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// Looks at a local chart, folder or archive, and at files of values. `None` when anything can't be looked at: a chart in a
/// repository, an archive within an archive, a URL, too much.
pub fn look_at(chart: &Path, value_files: &[PathBuf]) -> Option<Traits> {
    let mut look = Look { traits: Traits::default(), budget: LOOK_LIMIT };
    look.at(chart, 0)?;
    for file in value_files {
        look.at(file, 0)?;
    }
    Some(look.traits)
}

/// How many bytes are looked at.
const LOOK_LIMIT: u64 = 64 << 20;

struct Look {
    traits: Traits,
    budget: u64,
}

impl Look {
    fn at(&mut self, path: &Path, depth: usize) -> Option<()> {
        // Links are followed, as helm does; a loop of them ends here.
        if depth > 32 {
            return None;
        }
        let metadata = path.metadata().ok()?;
        if metadata.is_dir() {
            for entry in path.read_dir().ok()? {
                self.at(&entry.ok()?.path(), depth + 1)?;
            }
            return Some(());
        }
        let file = std::fs::File::open(path).ok().filter(|_| metadata.is_file())?;
        let mut file = BufReader::new(file);
        if file.fill_buf().ok()?.starts_with(&GZIP) {
            self.bytes(flate2::bufread::MultiGzDecoder::new(file), true)
        } else {
            self.bytes(file, false)
        }
    }

    fn bytes(&mut self, reader: impl Read, archive: bool) -> Option<()> {
        let mut bytes = Vec::new();
        reader.take(self.budget + 1).read_to_end(&mut bytes).ok()?;
        self.budget = self.budget.checked_sub(u64::try_from(bytes.len()).ok()?)?;
        // What is packed twice can't be seen from here.
        if archive && bytes.windows(GZIP.len()).any(|window| window == GZIP) {
            return None;
        }
        self.traits.add(&String::from_utf8_lossy(&bytes));
        Some(())
    }
}

/// What a file that is packed begins with: gzip, deflated.
const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn traits(text: &str) -> Traits {
        let mut traits = Traits::default();
        traits.add(text);
        traits
    }

    #[test]
    fn decides_where_to_render() {
        let served =
            BTreeSet::from(["policy/v1".to_owned(), "batch/v1".to_owned(), "batch/v1/Job".to_owned()]);
        for (text, server) in [
            ("kind: ConfigMap", false),
            ("{{ (lookup \"v1\" \"Secret\" \"n\" \"a\").data }}", true),
            ("{{ if .Capabilities.APIVersions.Has \"monitoring.coreos.com/v1\" }}", false),
            ("{{ if .Capabilities.APIVersions.Has \"batch/v1/Job\" }}", false),
            ("{{ if .Capabilities.APIVersions.Has \"policy/v1beta1\" }}", true),
            // Names it, but does not ask for it.
            ("apiVersion: policy/v1beta1", false),
        ] {
            assert_eq!(traits(text).need_server(&served), server, "{text}");
        }
        // An API server that can't say what it serves renders whatever asks.
        assert!(traits("{{ .Capabilities.APIVersions }}").need_server(&BTreeSet::new()));
        assert!(!traits("a: b").need_server(&BTreeSet::new()));
    }

    #[test]
    fn looks_into_folders_archives_and_values() {
        let dir = tempfile::tempdir().unwrap();
        let chart = dir.path().join("chart");
        std::fs::create_dir_all(chart.join("charts")).unwrap();
        std::fs::write(chart.join("Chart.yaml"), "name: a").unwrap();
        let values = dir.path().join("values.yaml");
        std::fs::write(&values, "a: '{{ lookup }}'").unwrap();
        assert_eq!(look_at(&chart, &[]), Some(Traits::default()));
        assert!(look_at(&chart, &[values]).unwrap().lookup);
        let archive = chart.join("charts/sub.tgz");
        let pack = |content: &[u8]| {
            let mut gzip = flate2::write::GzEncoder::new(
                std::fs::File::create(&archive).unwrap(),
                flate2::Compression::fast(),
            );
            gzip.write_all(content).unwrap();
            gzip.finish().unwrap();
        };
        pack(b"sub/templates/a.yaml {{ .Capabilities.APIVersions }}");
        assert!(look_at(&chart, &[]).unwrap().api_versions);
        assert!(look_at(&archive, &[]).unwrap().api_versions);
        pack(&std::fs::read(&archive).unwrap());
        assert_eq!(look_at(&chart, &[]), None);
        assert_eq!(look_at(Path::new("repo/chart"), &[]), None);
    }

    #[test]
    fn a_loop_of_links_is_not_followed_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("again")).unwrap();
        assert_eq!(look_at(dir.path(), &[]), None);
    }

    #[test]
    fn what_helm_says_before_the_manifests_is_no_manifest() {
        assert_eq!(manifests("Pulled: a\nDigest: b\n---\nkind: A\n"), "---\nkind: A\n");
        assert_eq!(manifests("\n---\nkind: A\n"), "---\nkind: A\n");
        assert_eq!(manifests("\n"), "");
    }

    #[test]
    fn warnings_are_no_part_of_an_error() {
        assert_eq!(complaint("level=WARN msg=x\nError: one\n  two\n"), "one\n  two");
        assert_eq!(complaint("Error: one\n"), "one");
        assert_eq!(complaint("panic: x\n"), "panic: x");
    }

    #[test]
    fn api_versions_fit_into_arguments() {
        let flags = api_version_flags(&(0..450).map(|n| format!("g{n}/v1")).collect());
        assert_eq!(flags.len(), 3);
        assert_eq!(flags.iter().map(|flag| flag.split(',').count()).sum::<usize>(), 450);
    }
}
