//! Helmfiles that go wrong: the object says what and why in one sentence, and the next good state recovers by itself.

use std::fs;

use serde_json::{Value, json};

use crate::{
    bad_inputs::OWN_RELEASE,
    support::{
        control_plane::{ControlPlane, shared},
        git_https::Silent,
        helmfiles::{Deliveries, ONE_RELEASE},
        scene::find,
        tools::Tools,
    },
};

#[tokio::test]
async fn each_mistake_is_told_and_the_next_good_state_recovers() {
    let stage = Deliveries::new(shared().await, "mistakes", &OWN_RELEASE).await;
    stage.repository.git(&["checkout", "--quiet", "--orphan", "broken"]);
    stage.repository.commit(&[
        ("nothing-here/README", "no helmfile"),
        ("syntax/helmfile.yaml", "releases:\n- name: [\n"),
        ("render/helmfile.yaml", "releases:\n- {name: render, chart: ./chart}\n"),
        ("render/chart/Chart.yaml", "{apiVersion: v2, name: chart, version: 1.0.0}\n"),
        ("render/chart/templates/a.yaml", "{{ required \"a size is needed\" .Values.size }}\n"),
        ("chart/helmfile.yaml", "releases:\n- {name: c, chart: ./chrat}\n"),
        ("install/helmfile.yaml", "releases:\n- {name: install, chart: ./chart}\n"),
        ("install/chart/Chart.yaml", "{apiVersion: v2, name: chart, version: 1.0.0}\n"),
        (
            "install/chart/templates/a.yaml",
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: Not_A_Name}}\n",
        ),
    ]);
    stage.repository.git(&["checkout", "--quiet", "main"]);
    let silent = Silent::start().await;
    let _operator = stage.start(&[]).await;
    let url = stage.repository.url();
    let broken = |folder: &str| json!({"source": format!("git::{url}//{folder}?ref=broken")});
    let mistakes: [(&str, Value, &str, &str); 11] = [
        ("ref", json!({"source": format!("git::{url}?ref=mian")}), "RefNotFound", "mian"),
        (
            "dash",
            json!({"source": format!("git::{url}?ref=--upload-pack=x")}),
            "URLInvalid",
            "--upload-pack=x",
        ),
        (
            "host",
            json!({"source": format!("git::https://{}/r.git?ref=main", silent.address()), "timeout": "2s"}),
            "Timeout",
            "2s",
        ),
        ("folder", broken("absent"), "PathNotFound", "`//absent`"),
        ("empty", broken("nothing-here"), "FileNotFound", "helmfile.yaml"),
        ("syntax", broken("syntax"), "HelmfileInvalid", "helmfile.yaml: line"),
        ("render", broken("render"), "RenderFailed", "a size is needed"),
        (
            "chart",
            broken("chart"),
            "ChartUnavailable",
            "release `c`: chart `chrat` does not exist in the source",
        ),
        ("install", broken("install"), "UpgradeFailed", "release `install` failed to"),
        ("getter", json!({"source": "s3::https://bucket/x"}), "URLInvalid", "s3"),
        (
            "variable",
            json!({"source": format!("git::{url}?ref=main"), "envvars": {"LD_PRELOAD": "/x.so"}}),
            "EnvironmentVariableRefused",
            "LD_PRELOAD",
        ),
    ];
    for (name, spec, ..) in &mistakes {
        stage.apply(name, spec.clone()).await;
    }
    for (name, _, reason, words) in &mistakes {
        let object = stage.ready(name, "False", words).await;
        let ready = find(&object, "Ready");
        assert_eq!(ready["reason"], *reason, "{name}: {ready}");
        let message = ready["message"].as_str().unwrap();
        for noise in ["COMBINED OUTPUT", "level=", "panic:", "in ./", "exit status 1\n"] {
            assert!(!message.contains(noise), "{name}: `{noise}` in `{message}`");
        }
    }
    for (name, ..) in &mistakes {
        stage.apply(name, json!({"source": stage.source("")})).await;
    }
    for (name, ..) in &mistakes {
        stage.ready(name, "True", "applied").await;
    }
}

#[tokio::test]
async fn a_missing_helmfile_program_is_named() {
    let stage = Deliveries::new(shared().await, "no-tool", &ONE_RELEASE).await;
    let mut operator = stage.start(&[("PATH", "/usr/bin:/bin")]).await;
    stage.apply("h", json!({"source": stage.source("")})).await;
    let object = stage.ready("h", "False", "`helmfile` is not on PATH").await;
    assert_eq!(find(&object, "Ready")["reason"], "ProgramNotFound");
    operator.stop().await;
    let _operator = stage.start(&[]).await;
    stage.ready("h", "True", "applied").await;
}

#[tokio::test]
async fn an_outage_in_the_middle_of_an_apply_is_told_and_overcome() {
    // A plane of its own: the tests that share the other one must not suffer.
    let plane = ControlPlane::start(Tools::find().await.unwrap()).await.unwrap();
    let stage = Deliveries::new(&plane, "outage", &ONE_RELEASE).await;
    let folder = stage.scene.folder().display().to_string();
    let hook = format!(
        "releases:\n- name: one\n  chart: ./chart\n  hooks:\n  - events: [presync]\n    command: sh\n    args: [-c, 'touch {folder}/there; while [ ! -e {folder}/go ]; do sleep 0.05; done']\n"
    );
    let commit = stage.repository.commit(&[("helmfile.yaml", &hook)]);
    let mut operator = stage.start(&[]).await;
    stage.apply("h", json!({"source": stage.source("")})).await;
    crate::support::wait::wait_until(
        "helmfile to be in the middle of it",
        crate::support::scene::SOON,
        async || {
            if fs::exists(format!("{folder}/there")).unwrap() { Ok(()) } else { Err(operator.log()) }
        },
    )
    .await;
    plane.stop_api_server().await;
    stage.scene.write("go", "", 0o644);
    operator.wait_for_log("luster unreachable").await;
    plane.start_api_server().await.unwrap();
    stage.applied("h", &commit).await;
    assert!(operator.stop().await.success());
}

#[tokio::test]
async fn nonsense_is_refused_at_admission_with_a_sentence() {
    let stage = Deliveries::new(shared().await, "admission", &ONE_RELEASE).await;
    let _operator = stage.start(&[]).await;
    for (spec, sentence) in [
        (
            json!({"source": "git::x", "valuesFiles": ["../../etc/passwd"]}),
            "valuesFiles are paths inside the source",
        ),
        (json!({"source": "git::x", "interval": "1d"}), "spec.interval"),
        (json!({"source": "git::x?ref=a", "version": "b"}), "version"),
        (json!({"source": ""}), "spec.source"),
    ] {
        let manifest = json!({"apiVersion": "apps.mumoshu.github.io/v1alpha1", "kind": "Helmfile",
                              "metadata": {"name": "h", "namespace": stage.scene.namespace}, "spec": spec});
        let refused = stage.scene.try_apply(manifest).await.unwrap_err();
        assert!(refused.contains(sentence), "{spec}: {refused}");
    }
}
