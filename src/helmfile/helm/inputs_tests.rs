use std::fs;

use serde_json::json;

use super::*;
use crate::{
    helmfile::helm::release::{ReleaseMeta, ReleaseStatus},
    process::Guard,
};

fn map(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn release() -> Release {
    Release {
        name: "web".into(),
        namespace: "team".into(),
        revision: 1,
        status: ReleaseStatus::Deployed,
        chart: "nginx-1.0.0".into(),
        app_version: None,
        description: String::new(),
        manifest: String::new(),
        hooks: Vec::new(),
        config: map(&json!({"a": {"b": 2, "gone": null}})),
        chart_values: map(&json!({"a": {"b": 1, "c": 3, "gone": 4}, "d": 5})),
    }
}

#[test]
fn old_values_are_taken_as_helm_takes_them() {
    let release = release();
    let config = json!({"a": {"b": 2, "gone": null}});
    let given = vec![("set", "x=1".to_owned())];
    for (old_values_are, values, expected) in [
        (OldValues::Forget, vec![], None),
        (OldValues::WhenNoneGiven, vec![], Some(config.clone())),
        (OldValues::WhenNoneGiven, given.clone(), None),
        (OldValues::ResetThenReuse, given.clone(), Some(config)),
        (OldValues::Reuse, given, Some(json!({"a": {"b": 2, "gone": null, "c": 3}, "d": 5}))),
    ] {
        let args = UpgradeArgs { old_values: old_values_are, values, ..UpgradeArgs::default() };
        assert_eq!(old_values(&args, Some(&release)).map(Value::Object), expected, "{old_values_are:?}");
    }
    assert_eq!(old_values(&UpgradeArgs::default(), None), None);
}

/// Arguments as the plugin is called with.
fn args(words: &str) -> UpgradeArgs {
    use crate::helmfile::helm::flags::{Asked, parse};
    let words: Vec<_> = words.split_whitespace().map(Into::into).collect();
    match parse(&words, &crate::environment::Environment::new()).unwrap() {
        Asked::Upgrade(args) => *args,
        Asked::Help(text) => panic!("{text}"),
    }
}

#[test]
fn files_are_named_when_all_are_local() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("chart")).unwrap();
    for file in ["a.yaml", "b.yaml", "c.txt", "d.txt"] {
        fs::write(dir.path().join(file), "").unwrap();
    }
    let names = |words: &str| -> Option<Vec<String>> {
        let files = files(&args(words), dir.path())?;
        let name = |file: PathBuf| file.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned();
        Some(files.into_iter().map(name).collect())
    };
    assert_eq!(
        names("web ./chart --values a.yaml --set x=y --set-file k=c.txt,l.m=d.txt -f b.yaml,a.yaml").unwrap(),
        ["./chart", "a.yaml", "c.txt", "d.txt", "b.yaml", "a.yaml"].map(|name| name.trim_start_matches("./"))
    );
    for elsewhere in [
        "web repo/chart",
        "web oci://example.org/chart",
        "web chart --values https://example.org/values.yaml",
        "web chart --values missing.yaml",
        "web chart --set-file k=missing",
        "web chart --repo https://example.org",
        "web chart --dependency-update",
    ] {
        assert_eq!(names(elsewhere), None, "{elsewhere}");
    }
}

#[test]
fn a_post_renderer_is_noticed() {
    assert!(args("web chart --post-renderer p").has_post_renderer());
    assert!(!args("web chart --set a=--post-renderer=p").has_post_renderer());
}

/// What decides a rendering in a folder with an empty chart and some files, of a cluster that needs not be asked.
async fn inputs(folder: &Path, words: &str, state: &State) -> Vec<String> {
    let client = kube::Client::try_from(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
    let helm = Helm {
        program: "helm".into(),
        env: crate::environment::Environment::new(),
        folder: folder.to_owned(),
        guard: Guard::new("guard"),
    };
    let args = args(&format!("{words} --kube-version 1.36.0"));
    let traits = look(&args, &helm).await.unwrap().traits;
    render_inputs(&args, "team", state, &traits, &helm, &Cluster::new(client)).await.unwrap()
}

#[tokio::test]
async fn inputs_are_the_same_for_the_same_rendering() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("chart/templates")).unwrap();
    for file in ["a.yaml", "b.yaml"] {
        fs::write(dir.path().join(file), "x: y").unwrap();
    }
    let new = State { newest: None, deployed: None };
    let plain = inputs(dir.path(), "web chart --values a.yaml --set-file k=a.yaml --no-hooks", &new).await;
    assert_eq!(
        plain,
        [
            "--namespace=team",
            "--release=web",
            "--old-values=WhenNoneGiven",
            "--include-tests=false",
            "--no-hooks",
            "--values=1",
            "--set-file=k",
            "--kube-version=1.36.0"
        ]
    );
    // Other files, same place, as helmfile makes them; and what is only shown differently.
    let other = "web ./chart --values b.yaml --set-file k=b.yaml --no-hooks --context 3 --output json";
    assert_eq!(inputs(dir.path(), other, &new).await, plain);
    let meta = ReleaseMeta {
        name: "web".into(),
        namespace: "team".into(),
        revision: 1,
        status: ReleaseStatus::Deployed,
        uid: "u".into(),
        modified: None,
        labels: std::collections::BTreeMap::new(),
    };
    let there = State { newest: Some(meta.clone()), deployed: Some(meta) };
    assert!(inputs(dir.path(), "web chart", &there).await.contains(&"--is-upgrade".to_owned()));
    for different in [
        "web chart --values a.yaml --set-file l=a.yaml --no-hooks",
        "web chart --values a.yaml --values b.yaml --set-file k=a.yaml --no-hooks",
        "web chart --values a.yaml --set-file k=a.yaml --no-hooks --set a=b",
        "web chart --values a.yaml --set-file k=a.yaml --no-hooks --reuse-values",
        "web chart --values a.yaml --set-file k=a.yaml --no-hooks --include-tests",
        "other chart --values a.yaml --set-file k=a.yaml --no-hooks",
    ] {
        assert_ne!(inputs(dir.path(), different, &new).await, plain, "{different}");
    }
    // A template that reads the cluster shows.
    fs::write(dir.path().join("chart/templates/a.yaml"), "{{ lookup }}").unwrap();
    assert!(inputs(dir.path(), "web chart", &new).await.contains(&"--dry-run=server".to_owned()));
}
