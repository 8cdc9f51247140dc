//! Manifests (what `helm template` prints, what a release stores) as objects that can be compared.

use std::fmt;

use serde_json::{Map, Value};

use crate::object::Gvk;

/// The annotation that makes an object a hook, and says of which events.
const HOOK: &str = "helm.sh/hook";

/// What the API server keeps in `metadata`.
const KEPT_BY_SERVER: [&str; 6] =
    ["creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"];

/// What two sides of a comparison have in common: the API version is left out, since a chart may move to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// Namespace; the release's where the manifest names none, also for cluster-scoped kinds, as Helm's tools do.
    pub namespace: String,
    /// Name, or the prefix of a generated one.
    pub name: String,
    /// Kind.
    pub kind: String,
    /// API group, empty for the core group.
    pub group: String,
}

/// What a document says.
#[derive(Clone, PartialEq)]
pub enum Body {
    /// An object, with sorted keys.
    Object(Value),
    /// A document that our parser can't make an object of: compared byte by byte and never shown, since nobody
    /// knows whether it holds a secret.
    Unreadable(String),
}

impl fmt::Debug for Body {
    /// Without the content, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object(_) => "Object(..)",
            Self::Unreadable(_) => "Unreadable(..)",
        })
    }
}

/// One object of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Which object.
    pub id: Id,
    /// Its API version as the manifest has it; empty when unreadable.
    pub api_version: String,
    /// The hook's events; `None` for a plain object.
    pub hook: Option<String>,
    /// What it says.
    pub body: Body,
}

impl Object {
    /// Whether `helm test` runs it.
    pub fn is_test(&self) -> bool {
        let events = self.hook.iter().flat_map(|events| events.split(','));
        events.map(str::trim).any(|event| matches!(event, "test" | "test-success" | "test-failure"))
    }

    /// The same object as the cluster has it, or would have it: without what the API server keeps about it.
    #[must_use]
    pub fn as_in_cluster(&self, mut value: Value) -> Self {
        if let Some(fields) = value.as_object_mut() {
            fields.remove("status");
        }
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|field, _| !KEPT_BY_SERVER.contains(&field.as_str()));
        }
        Self { body: Body::Object(sorted_object(value)), ..self.clone() }
    }

    /// The object, where it could be read.
    pub fn value(&self) -> Option<&Value> {
        match &self.body {
            Body::Object(value) => Some(value),
            Body::Unreadable(_) => None,
        }
    }
}

/// Reads a stream of manifests. `Kind: List` and its relatives are replaced by what they hold, `# Source:` comments are
/// dropped, keys are sorted, and objects without a namespace get `namespace` as part of their [`Id`].
pub fn objects(text: &str, namespace: &str) -> Vec<Object> {
    let mut found = Vec::new();
    for document in split(text) {
        match read(&document) {
            Some(values) => {
                let mut expanded = Vec::new();
                let complete = values.into_iter().all(|value| expand(value, None, namespace, &mut expanded));
                if complete {
                    found.append(&mut expanded);
                } else {
                    found.push(unreadable(document, namespace));
                }
            }
            None => found.push(unreadable(document, namespace)),
        }
    }
    found
}

/// Cuts a stream at its `---` lines, as Helm does before it parses anything.
fn split(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.split_inclusive('\n') {
        let rest =
            line.strip_prefix("---").filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        match (rest, documents.last_mut()) {
            (Some(rest), _) => documents.push(rest.trim_start_matches([' ', '\t']).to_owned()),
            (None, Some(document)) => document.push_str(line),
            (None, None) => {}
        }
    }
    documents.retain(|document| {
        document.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
    });
    documents
}

/// Parses one piece of a stream with the tolerance of the parser that Helm uses: of two equal keys the last counts, and
/// a leading zero makes an octal number. The limits are far above what fits into a release.
fn read(document: &str) -> Option<Vec<Value>> {
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
        legacy_octal_numbers: true,
        with_snippet: false,
        budget: serde_saphyr::budget! { max_nodes: 5_000_000, max_events: 20_000_000, max_depth: 256 },
    };
    let values: Vec<Option<Value>> = serde_saphyr::from_multiple_with_options(document, options).ok()?;
    Some(values.into_iter().flatten().filter(|value| !value.is_null()).collect())
}

/// Adds the object, or the objects of a list; `false` when there is something that is no object.
fn expand(mut value: Value, inherited_hook: Option<&str>, namespace: &str, out: &mut Vec<Object>) -> bool {
    let own = value.pointer("/metadata/annotations").and_then(|all| all.get(HOOK)).and_then(Value::as_str);
    let hook = own.or(inherited_hook).map(str::to_owned);
    let Some(gvk) = Gvk::of(&value) else { return false };
    if let Some(items) = items_of_list(&mut value, &gvk) {
        return items.into_iter().all(|item| expand(item_of(&gvk, item), hook.as_deref(), namespace, out));
    }
    let metadata = value.get("metadata");
    let text = |field: &str| metadata?.get(field)?.as_str().filter(|text| !text.is_empty());
    let Some(name) = text("name").or_else(|| text("generateName")) else { return false };
    let id = Id {
        namespace: text("namespace").unwrap_or(namespace).to_owned(),
        name: name.to_owned(),
        kind: gvk.kind.clone(),
        group: gvk.group.clone(),
    };
    out.push(Object { id, api_version: gvk.api_version(), hook, body: Body::Object(sorted_object(value)) });
    true
}

/// The items when this is a list: of such a kind, with items, and without a name of its own.
fn items_of_list(value: &mut Value, gvk: &Gvk) -> Option<Vec<Value>> {
    let named = value.pointer("/metadata/name").is_some();
    let items = value.get_mut("items")?.as_array_mut()?;
    (gvk.kind.ends_with("List") && !named).then(|| std::mem::take(items))
}

/// The items of a typed list (`SecretList`) need not repeat its kind.
fn item_of(list: &Gvk, mut item: Value) -> Value {
    if let (Some(kind), Value::Object(fields)) =
        (list.kind.strip_suffix("List").filter(|kind| !kind.is_empty()), &mut item)
        && !fields.contains_key("kind")
    {
        fields.insert("kind".into(), kind.into());
        fields.entry("apiVersion").or_insert_with(|| list.api_version().into());
    }
    item
}

/// Sorts the keys at all levels, so that formatting makes no difference; the three that people look for first come first.
fn sorted_object(value: Value) -> Value {
    let Value::Object(mut fields) = value else { return value };
    let mut out = Map::new();
    for first in ["apiVersion", "kind", "metadata"] {
        if let Some(value) = fields.remove(first) {
            out.insert(first.to_owned(), sorted(value));
        }
    }
    if let Value::Object(rest) = sorted(Value::Object(fields)) {
        out.extend(rest);
    }
    Value::Object(out)
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.into_iter().collect();
            fields.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(fields.into_iter().map(|(key, value)| (key, sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// Named after the template it came from.
fn unreadable(document: String, namespace: &str) -> Object {
    let source = document
        .lines()
        .find_map(|line| line.strip_prefix("# Source:"))
        .unwrap_or("of unknown source")
        .trim();
    let id = Id {
        namespace: namespace.to_owned(),
        name: source.to_owned(),
        kind: "document".into(),
        group: String::new(),
    };
    Object { id, api_version: String::new(), hook: None, body: Body::Unreadable(document) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ids(text: &str) -> Vec<String> {
        objects(text, "team")
            .into_iter()
            .map(|object| {
                format!("{}/{} {}.{}", object.id.namespace, object.id.name, object.id.kind, object.id.group)
            })
            .collect()
    }

    #[test]
    fn reads_streams_lists_and_generated_names() {
        let text = "---\n# Source: a/b.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n\
            --- # another\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: two, namespace: other}\n---\n# nothing\n---\n\
            apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {generateName: three-}}\n\
            - apiVersion: v1\n  kind: SecretList\n  items: [{metadata: {name: four}}]\n";
        assert_eq!(
            ids(text),
            ["team/one ConfigMap.", "other/two Deployment.apps", "team/three- Pod.", "team/four Secret."]
        );
    }

    #[test]
    fn a_kind_may_end_in_list_without_being_one() {
        let text = "apiVersion: example.org/v1\nkind: AllowList\nmetadata: {name: a}\nitems: [x]\n";
        assert_eq!(ids(text), ["team/a AllowList.example.org"]);
    }

    #[test]
    fn reads_what_helm_reads() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  8080: web\n  k: one\n  k: two\n  mode: 0755\n";
        let all = objects(text, "n");
        let value = all[0].value().unwrap();
        assert_eq!(value["data"], json!({"8080": "web", "k": "two", "mode": 0o755}));
    }

    #[test]
    fn formatting_makes_no_difference() {
        let one =
            objects("kind: A\napiVersion: v1\nmetadata: {name: a}\nspec: {b: \"x\", a: [1]} # why\n", "n");
        let other =
            objects("apiVersion: v1\nkind: A\nspec:\n  a:\n    - 1\n  b: x\nmetadata:\n  name: a\n", "n");
        assert_eq!(one, other);
        let keys: Vec<_> = one[0].value().unwrap().as_object().unwrap().keys().collect();
        assert_eq!(keys, ["apiVersion", "kind", "metadata", "spec"]);
    }

    #[test]
    fn what_is_no_object_is_kept_as_bytes() {
        let text = "---\n# Source: chart/templates/x.yaml\nkind: Secret\npassword: hunter2\n---\na: [1\n---\njust text\n";
        let all = objects(text, "n");
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|object| object.value().is_none()), "{all:?}");
        assert_eq!(all[0].id.name, "chart/templates/x.yaml");
        assert!(!format!("{all:?}").contains("hunter2"));
    }

    #[test]
    fn knows_hooks_and_tests() {
        let hook = |events: &str| {
            let text = format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: a, annotations: {{\"helm.sh/hook\": \"{events}\"}}}}\n"
            );
            objects(&text, "n").remove(0)
        };
        assert!(hook("test").is_test());
        assert!(hook("pre-install, test-success").is_test());
        assert!(!hook("post-install,pre-upgrade").is_test());
        assert_eq!(hook("pre-delete").hook.as_deref(), Some("pre-delete"));
    }

    #[test]
    fn a_line_of_dashes_inside_a_text_does_not_cut() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  pem: |\n    -----BEGIN X-----\n    ---\n";
        assert_eq!(objects(text, "n")[0].value().unwrap()["data"]["pem"], "-----BEGIN X-----\n---\n");
    }

    #[test]
    fn big_definitions_are_within_the_limits() {
        let properties: Vec<_> =
            (0..60_000).map(|n| format!("    p{n}: {{type: string, description: about p{n}}}\n")).collect();
        let text = format!(
            "apiVersion: v1\nkind: Big\nmetadata: {{name: a}}\nspec:\n  properties:\n{}",
            properties.concat()
        );
        assert!(objects(&text, "n")[0].value().is_some());
    }
}
