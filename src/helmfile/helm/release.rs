//! Releases as Helm stores them: one Secret per revision, whose labels say what it is and whose data is the release.

use std::{collections::BTreeMap, fmt, io::Read as _, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, api::ListParams};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::cluster::{describe, in_time};

/// What Helm says about a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReleaseStatus {
    /// Helm does not know, or a newer Helm has a word that we don't know.
    Unknown,
    /// It is what runs.
    Deployed,
    /// It was removed, and its history kept.
    Uninstalled,
    /// A newer revision was deployed.
    Superseded,
    /// The last operation failed.
    Failed,
    /// It is being removed.
    Uninstalling,
    /// Its installation has not ended, or was killed.
    PendingInstall,
    /// Its upgrade has not ended, or was killed.
    PendingUpgrade,
    /// Its rollback has not ended, or was killed.
    PendingRollback,
}

impl ReleaseStatus {
    const ALL: [Self; 9] = [
        Self::Unknown,
        Self::Deployed,
        Self::Uninstalled,
        Self::Superseded,
        Self::Failed,
        Self::Uninstalling,
        Self::PendingInstall,
        Self::PendingUpgrade,
        Self::PendingRollback,
    ];

    /// Helm's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Deployed => "deployed",
            Self::Uninstalled => "uninstalled",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
            Self::Uninstalling => "uninstalling",
            Self::PendingInstall => "pending-install",
            Self::PendingUpgrade => "pending-upgrade",
            Self::PendingRollback => "pending-rollback",
        }
    }
}

impl fmt::Display for ReleaseStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not one of Helm's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no status of a Helm release")]
pub struct UnknownStatus(pub String);

impl FromStr for ReleaseStatus {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == word)
            .ok_or_else(|| UnknownStatus(word.to_owned()))
    }
}

/// One revision of a release, from the labels of its Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseMeta {
    /// Name of the release.
    pub name: String,
    /// Namespace of the release.
    pub namespace: String,
    /// Revision, from 1.
    pub revision: u32,
    /// What Helm says about it.
    pub status: ReleaseStatus,
    /// UID of its Secret; empty when unknown.
    pub uid: String,
    /// When Helm wrote it last, in seconds since 1970.
    pub modified: Option<i64>,
    /// The labels of its Secret that are not Helm's own.
    pub labels: BTreeMap<String, String>,
}

/// The labels that Helm sets itself.
const OWN_LABELS: [&str; 6] = ["createdAt", "modifiedAt", "name", "owner", "status", "version"];

impl ReleaseMeta {
    /// Name of the Secret that holds this revision.
    pub fn secret_name(&self) -> String {
        format!("sh.helm.release.v1.{}.v{}", self.name, self.revision)
    }

    /// From labels; `None` when they are not Helm's.
    fn of(secret: &impl kube::ResourceExt) -> Option<Self> {
        let labels = secret.labels();
        Some(Self {
            name: labels.get("name")?.clone(),
            namespace: secret.namespace()?,
            revision: labels.get("version")?.parse().ok()?,
            status: labels.get("status")?.parse().unwrap_or(ReleaseStatus::Unknown),
            uid: secret.uid().unwrap_or_default(),
            // Helm takes the labels of a revision along into the next one, its times among them, so that the latest counts.
            modified: ["createdAt", "modifiedAt"]
                .into_iter()
                .filter_map(|name| labels.get(name)?.parse().ok())
                .chain(secret.creation_timestamp().map(|created| created.0.as_second()))
                .max(),
            labels: labels
                .iter()
                .filter(|(name, _)| !OWN_LABELS.contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        })
    }
}

/// One revision of a release with all that was delivered.
#[derive(Clone, PartialEq)]
pub struct Release {
    /// Name of the release.
    pub name: String,
    /// Namespace of the release.
    pub namespace: String,
    /// Revision, from 1.
    pub revision: u32,
    /// What Helm says about it.
    pub status: ReleaseStatus,
    /// The chart as `name-version`.
    pub chart: String,
    /// The version of what the chart installs, if the chart says so.
    pub app_version: Option<String>,
    /// What the last operation said.
    pub description: String,
    /// All objects but the hooks.
    pub manifest: String,
    /// The hooks, each a manifest.
    pub hooks: Vec<String>,
    /// The values that were given, without the chart's own.
    pub config: Map<String, Value>,
    /// The chart's own values.
    pub chart_values: Map<String, Value>,
}

impl fmt::Debug for Release {
    /// Without manifests and values, which hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Release")
            .field("name", &self.name)
            .field("namespace", &self.namespace)
            .field("revision", &self.revision)
            .field("status", &self.status)
            .field("chart", &self.chart)
            .finish_non_exhaustive()
    }
}

/// Why releases could not be read. No variant holds anything of a release's content.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The API server did not list them.
    #[error("failed to list the Helm releases in namespace `{namespace}`: {}", describe(.cause))]
    List {
        /// The namespace.
        namespace: String,
        /// Why.
        cause: Box<kube::Error>,
    },
    /// The API server did not give one.
    #[error("failed to read Secret `{namespace}/{secret}`: {}", describe(.cause))]
    Get {
        /// The namespace.
        namespace: String,
        /// The Secret.
        secret: String,
        /// Why.
        cause: Box<kube::Error>,
    },
    /// Its content is not what Helm writes.
    #[error("not a Helm release: {0}")]
    Malformed(&'static str),
    /// The same, in a Secret we know.
    #[error("Secret `{namespace}/{secret}` is not a Helm release: {reason}")]
    MalformedSecret {
        /// The namespace.
        namespace: String,
        /// The Secret.
        secret: String,
        /// What is wrong.
        reason: &'static str,
    },
}

impl ReleaseError {
    /// Whether the API server did not answer at all.
    pub fn is_unreachable(&self) -> bool {
        let cause = match self {
            Self::List { cause, .. } | Self::Get { cause, .. } => cause,
            Self::Malformed(_) | Self::MalformedSecret { .. } => return false,
        };
        !matches!(**cause, kube::Error::Api(_))
    }
}

/// More than any release can unpack to in practice: a Secret holds 1 MiB, and manifests compress about tenfold.
const UNPACKED_LIMIT: u64 = 256 << 20;

/// Reads the bytes of a Secret's `.data.release`, after the Kubernetes base64.
///
/// # Errors
/// When they are not what Helm writes. The error says where it went wrong, and nothing of the content.
pub fn decode(data: &[u8]) -> Result<Release, ReleaseError> {
    let json = unpacked(data)?;
    let raw: Raw = serde_json::from_slice(&json).map_err(|error| {
        // The library's message may quote a value.
        ReleaseError::Malformed(if error.is_data() {
            "a field has an unexpected type"
        } else {
            "it is not JSON"
        })
    })?;
    if raw.name.is_empty() || raw.version == 0 {
        return Err(ReleaseError::Malformed("it has no name or no revision"));
    }
    Ok(raw.into())
}

/// The JSON in such bytes.
///
/// # Errors
/// When they are neither packed as Helm packs nor plain.
pub(super) fn unpacked(data: &[u8]) -> Result<Vec<u8>, ReleaseError> {
    let packed =
        STANDARD.decode(data.trim_ascii()).map_err(|_| ReleaseError::Malformed("it is not base64"))?;
    if packed.starts_with(&[0x1f, 0x8b, 0x08]) { unpack(&packed) } else { Ok(packed) }
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, ReleaseError> {
    let mut json = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(packed).take(UNPACKED_LIMIT + 1);
    reader.read_to_end(&mut json).map_err(|_| ReleaseError::Malformed("its gzip data is damaged"))?;
    if u64::try_from(json.len()).is_ok_and(|length| length > UNPACKED_LIMIT) {
        return Err(ReleaseError::Malformed("it unpacks to more than 256 MiB"));
    }
    Ok(json)
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Raw {
    name: String,
    namespace: String,
    version: u32,
    info: Option<RawInfo>,
    chart: Option<RawChart>,
    config: Option<Map<String, Value>>,
    manifest: String,
    hooks: Option<Vec<RawHook>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawInfo {
    status: String,
    description: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawChart {
    metadata: Option<RawMetadata>,
    values: Option<Map<String, Value>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RawMetadata {
    name: String,
    version: String,
    app_version: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawHook {
    manifest: String,
}

impl From<Raw> for Release {
    fn from(raw: Raw) -> Self {
        let info = raw.info.unwrap_or_default();
        let chart = raw.chart.unwrap_or_default();
        let metadata = chart.metadata.unwrap_or_default();
        Self {
            name: raw.name,
            namespace: raw.namespace,
            revision: raw.version,
            status: info.status.parse().unwrap_or(ReleaseStatus::Unknown),
            chart: format!("{}-{}", metadata.name, metadata.version),
            app_version: Some(metadata.app_version).filter(|version| !version.is_empty()),
            description: info.description,
            manifest: raw.manifest,
            hooks: raw.hooks.unwrap_or_default().into_iter().map(|hook| hook.manifest).collect(),
            config: raw.config.unwrap_or_default(),
            chart_values: chart.values.unwrap_or_default(),
        }
    }
}

/// All revisions of one release, newest first. Only metadata is transferred.
///
/// # Errors
/// When the API server does not answer or refuses.
pub async fn history(client: &Client, namespace: &str, name: &str) -> Result<Vec<ReleaseMeta>, ReleaseError> {
    let mut all = revisions(client, namespace, &format!("owner=helm,name={name}")).await?;
    all.retain(|meta| meta.name == name);
    all.sort_by_key(|meta| std::cmp::Reverse(meta.revision));
    Ok(all)
}

/// All revisions of all releases in a namespace, by name, newest first. Only metadata is transferred.
///
/// # Errors
/// When the API server does not answer or refuses.
pub async fn histories(
    client: &Client,
    namespace: &str,
) -> Result<BTreeMap<String, Vec<ReleaseMeta>>, ReleaseError> {
    let mut histories: BTreeMap<String, Vec<ReleaseMeta>> = BTreeMap::new();
    for meta in revisions(client, namespace, "owner=helm").await? {
        histories.entry(meta.name.clone()).or_default().push(meta);
    }
    for history in histories.values_mut() {
        history.sort_by_key(|meta| std::cmp::Reverse(meta.revision));
    }
    Ok(histories)
}

/// One revision with its content.
///
/// # Errors
/// When the API server does not answer or refuses, or the Secret is damaged.
pub async fn get(client: &Client, meta: &ReleaseMeta) -> Result<Release, ReleaseError> {
    let (namespace, secret) = (meta.namespace.clone(), meta.secret_name());
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let found = match in_time(api.get(&secret)).await {
        Ok(found) => found,
        Err(source) => return Err(ReleaseError::Get { namespace, secret, cause: Box::new(source) }),
    };
    let data = found.data.unwrap_or_default();
    let content = data.get("release").map_or(&[][..], |bytes| &bytes.0);
    decode(content).map_err(|error| match error {
        ReleaseError::Malformed(reason) => ReleaseError::MalformedSecret { namespace, secret, reason },
        other => other,
    })
}

async fn revisions(
    client: &Client,
    namespace: &str,
    selector: &str,
) -> Result<Vec<ReleaseMeta>, ReleaseError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let mut params = ListParams::default().labels(selector).limit(500);
    let mut found = Vec::new();
    loop {
        let failed = |source| ReleaseError::List { namespace: namespace.to_owned(), cause: Box::new(source) };
        let page = in_time(api.list_metadata(&params)).await.map_err(failed)?;
        found.extend(page.items.iter().filter_map(ReleaseMeta::of));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use serde_json::json;

    use super::*;

    fn packed(release: &Value) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(release.to_string().as_bytes()).unwrap();
        STANDARD.encode(gzip.finish().unwrap()).into_bytes()
    }

    fn full() -> Value {
        json!({
            "name": "web", "namespace": "team", "version": 3,
            "info": {"status": "pending-upgrade", "description": "Preparing upgrade", "first_deployed": ""},
            "chart": {"metadata": {"name": "nginx", "version": "1.2.3", "appVersion": "9"}, "values": {"replicas": 1}},
            "config": {"password": "hunter2"}, "manifest": "---\nkind: A\n",
            "hooks": [{"name": "h", "manifest": "kind: Job\n", "events": ["pre-install"]}],
        })
    }

    #[test]
    fn decodes_what_helm_writes() {
        let release = decode(&packed(&full())).unwrap();
        assert_eq!(release.name, "web");
        assert_eq!((release.namespace.as_str(), release.revision), ("team", 3));
        assert_eq!(release.status, ReleaseStatus::PendingUpgrade);
        assert_eq!((release.chart.as_str(), release.app_version.as_deref()), ("nginx-1.2.3", Some("9")));
        assert_eq!(release.description, "Preparing upgrade");
        assert_eq!(
            (release.manifest.as_str(), release.hooks),
            ("---\nkind: A\n", vec!["kind: Job\n".to_owned()])
        );
        assert_eq!(
            (release.config["password"].as_str(), &release.chart_values["replicas"]),
            (Some("hunter2"), &json!(1))
        );
    }

    #[test]
    fn decodes_uncompressed_releases_and_nulls() {
        let plain =
            json!({"name": "a", "version": 1, "hooks": null, "config": null, "chart": {"values": null}});
        let release = decode(STANDARD.encode(plain.to_string()).as_bytes()).unwrap();
        assert_eq!((release.status, release.app_version), (ReleaseStatus::Unknown, None));
    }

    #[test]
    fn says_what_is_wrong_without_quoting() {
        let damaged = {
            let mut bytes = STANDARD.decode(packed(&full())).unwrap();
            bytes.truncate(40);
            STANDARD.encode(bytes).into_bytes()
        };
        for (data, reason) in [
            (&b"%%%"[..], "not a Helm release: it is not base64"),
            (&damaged, "not a Helm release: its gzip data is damaged"),
            (STANDARD.encode("hunter2").as_bytes(), "not a Helm release: it is not JSON"),
            (
                &packed(&json!({"name": "a", "version": "hunter2"})),
                "not a Helm release: a field has an unexpected type",
            ),
            (&packed(&json!({})), "not a Helm release: it has no name or no revision"),
            (b"", "not a Helm release: it is not JSON"),
        ] {
            assert_eq!(decode(data).unwrap_err().to_string(), reason);
        }
    }

    #[test]
    fn debug_shows_no_content() {
        let text = format!("{:?}", decode(&packed(&full())).unwrap());
        assert!(text.contains("web") && !text.contains("hunter2") && !text.contains("kind"), "{text}");
    }

    #[test]
    fn statuses_are_helms_words() {
        for status in ReleaseStatus::ALL {
            assert_eq!(status.to_string().parse(), Ok(status));
        }
        assert_eq!("Deployed".parse::<ReleaseStatus>(), Err(UnknownStatus("Deployed".into())));
    }

    #[test]
    fn the_later_one_of_two_times_counts() {
        let modified = |labels: Value| {
            let labels = [json!({"name": "a", "version": "2", "status": "deployed"}), labels];
            let labels: BTreeMap<String, String> = labels
                .into_iter()
                .flat_map(|some| serde_json::from_value::<BTreeMap<_, _>>(some).unwrap())
                .collect();
            let metadata = json!({"metadata": {"namespace": "n", "labels": labels}});
            let secret: Secret = serde_json::from_value(metadata).unwrap();
            ReleaseMeta::of(&secret).unwrap().modified
        };
        assert_eq!(modified(json!({"createdAt": "5"})), Some(5));
        assert_eq!(modified(json!({"createdAt": "5", "modifiedAt": "7"})), Some(7));
        assert_eq!(
            modified(json!({"createdAt": "9", "modifiedAt": "7"})),
            Some(9),
            "taken along from revision 1"
        );
        assert_eq!(modified(json!({})), None);
    }
}
