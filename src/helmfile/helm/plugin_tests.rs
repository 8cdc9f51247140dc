use crate::helmfile::{
    diff::Format,
    helm::release::{ReleaseMeta, ReleaseStatus},
};

use super::*;

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
        config: serde_json::Map::new(),
        chart_values: serde_json::Map::new(),
    }
}

#[test]
fn hooks_are_compared_as_asked() {
    let pod = |name: &str, hook: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, annotations: {{helm.sh/hook: {hook}}}}}\n"
        )
    };
    let release = Release {
        manifest: "---\napiVersion: v1\nkind: Pod\nmetadata: {name: plain}\n".into(),
        hooks: vec![pod("setup", "pre-install"), pod("check", "test")],
        ..release()
    };
    for (no_hooks, tests, expected) in [
        (false, false, &["plain", "setup"][..]),
        (false, true, &["plain", "setup", "check"]),
        (true, true, &["plain"]),
    ] {
        let args = UpgradeArgs { no_hooks, tests, ..UpgradeArgs::default() };
        let names: Vec<_> =
            filtered(stored(&release), &args).into_iter().map(|object| object.id.name).collect();
        assert_eq!(names, expected);
    }
}

fn meta(revision: u32, status: ReleaseStatus) -> ReleaseMeta {
    ReleaseMeta {
        name: "web".into(),
        namespace: "team".into(),
        revision,
        status,
        uid: format!("uid-{revision}"),
        modified: None,
        labels: std::collections::BTreeMap::new(),
    }
}

/// A state of which the newest revision has failed, and sides that differ in one object, with something said of another.
fn found(format: Format) -> Outcome {
    let state = State {
        newest: Some(meta(4, ReleaseStatus::Failed)),
        deployed: Some(meta(3, ReleaseStatus::Deployed)),
    };
    let new = diff::objects("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", "team");
    let mut args = UpgradeArgs { release: "web".into(), ..UpgradeArgs::default() };
    args.view.format = format;
    outcome(&args, "team", &state, Sides { old: Vec::new(), new, notes: vec!["remark".into()] })
}

#[test]
fn notes_are_for_people() {
    let people = found(Format::Simple);
    assert!(people.text.starts_with("release team/web: the newest revision 4 is failed, not deployed; "));
    assert!(people.text.contains("\n\nremark\n\nteam, a, Pod (v1) to be added.\n"), "{}", people.text);
    let programs = found(Format::Json);
    assert!(serde_json::from_str::<serde_json::Value>(&programs.text).unwrap().is_array());
    assert!(programs.changed);
}

#[test]
fn a_remark_is_no_change() {
    let state = State { newest: None, deployed: None };
    let deployed = meta(3, ReleaseStatus::Deployed);
    let same = State { newest: Some(deployed.clone()), deployed: Some(deployed) };
    let sides = || Sides { notes: vec!["remark".into()], ..Sides::default() };
    let args = UpgradeArgs::default();
    assert!(!outcome(&args, "team", &same, sides()).changed);
    assert!(outcome(&args, "team", &state, sides()).changed);
}
