//! Charts from elsewhere, with credentials for one host, and the plugins of the image.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    gather::run,
    inputs::{Shims, put},
    support::{
        charts::Charts,
        control_plane::shared,
        helmfiles::{Deliveries, ONE_RELEASE},
        scene::{config_map, find},
    },
};

/// The chart of [`ONE_RELEASE`], packed by the real helm.
async fn packed(folder: &Path, name: &str) -> Vec<u8> {
    let chart = folder.join(name);
    fs::create_dir_all(chart.join("templates")).unwrap();
    fs::write(chart.join("Chart.yaml"), format!("{{apiVersion: v2, name: {name}, version: 1.0.0}}\n"))
        .unwrap();
    fs::write(chart.join("templates/map.yaml"), ONE_RELEASE[2].1).unwrap();
    run(folder, &[], "helm", &["package", name]).await;
    fs::read(folder.join(format!("{name}-1.0.0.tgz"))).unwrap()
}

#[tokio::test]
async fn a_password_of_a_chart_repository_goes_to_that_repository_only() {
    let plane = shared().await;
    let folder = tempfile::tempdir().unwrap();
    let closed = Charts::start(Some(("bob", "opensesame"))).await;
    let open = Charts::start(None).await;
    closed.put("mine", "1.0.0", "mine-1.0.0.tgz", packed(folder.path(), "mine").await);
    open.put("other", "1.0.0", "other-1.0.0.tgz", packed(folder.path(), "other").await);
    let stage = Deliveries::new(
        plane,
        "repositories",
        &[(
            "helmfile.yaml",
            &format!(
                "repositories:\n- {{name: closed, url: '{}'}}\n- {{name: open, url: '{}/'}}\nreleases:\n- {{name: one, chart: closed/mine, version: 1.0.0}}\n- {{name: two, chart: open/other, version: 1.0.0}}\n",
                closed.url, open.url
            ),
        )],
    )
    .await;
    let shims = Shims::of(plane, &stage);
    put(&stage, "Secret", "login", json!({"username": "bob", "password": "opensesame"})).await;
    put(&stage, "Secret", "wrong", json!({"username": "bob", "password": "letmein123"})).await;
    let operator = stage.start(&[("PATH", &shims.path)]).await;
    let spec = |secret: &str| json!({"source": stage.source(""), "registries": [{"url": closed.url, "secretRef": {"name": secret}}]});
    stage.apply("wrong", spec("wrong")).await;
    let object = stage.ready("wrong", "False", &closed.url).await;
    assert_eq!(find(&object, "Ready")["reason"], "ChartUnavailable", "{:#}", object["status"]);
    stage.scene.delete(&crate::support::helmfiles::helmfile(), "wrong").await;

    stage.apply("h", spec("login")).await;
    let object = stage.ready("h", "True", "2 releases").await;
    for name in ["one", "two"] {
        assert!(stage.scene.get(&config_map(), name).await.is_object(), "{name}");
    }
    let asked = closed.asked();
    let archives = asked.iter().filter(|asked| asked.path == "/mine-1.0.0.tgz");
    assert!(archives.clone().count() > 0 && archives.clone().all(|asked| asked.authorization.is_some()));
    let strangers = open.asked();
    assert!(
        !strangers.is_empty() && strangers.iter().all(|asked| asked.authorization.is_none()),
        "{strangers:?}"
    );
    // Neither in arguments, nor in what is said.
    let told = format!("{}{}{}", shims.calls().join("\n"), operator.log(), object["status"]);
    for password in ["opensesame", "letmein123"] {
        assert!(!told.contains(password), "{told}");
    }
    // A version that is pinned can't change.
    assert_eq!(object["status"]["refreshReason"], Value::Null, "{:#}", object["status"]);
}

#[tokio::test]
async fn a_repository_that_sends_us_elsewhere_takes_no_password_along() {
    let plane = shared().await;
    let folder = tempfile::tempdir().unwrap();
    let closed = Charts::start(Some(("bob", "opensesame"))).await;
    let open = Charts::start(None).await;
    let archive = format!("{}/stray-1.0.0.tgz", open.url);
    let chart = packed(folder.path(), "stray").await;
    closed.put("stray", "1.0.0", &archive, chart.clone());
    open.put("stray", "1.0.0", "stray-1.0.0.tgz", chart);
    let helmfile = format!(
        "repositories:\n- {{name: closed, url: '{}'}}\nreleases:\n- {{name: one, chart: closed/stray, version: 1.0.0}}\n",
        closed.url
    );
    let stage = Deliveries::new(plane, "stray", &[("helmfile.yaml", &helmfile)]).await;
    put(&stage, "Secret", "login", json!({"username": "bob", "password": "opensesame"})).await;
    let _operator = stage.start(&[]).await;
    let registries = json!([{"url": closed.url, "secretRef": {"name": "login"}}]);
    stage.apply("h", json!({"source": stage.source(""), "registries": registries})).await;
    stage.ready("h", "True", "1 release").await;
    let asked = open.asked();
    assert!(asked.iter().any(|asked| asked.path == "/stray-1.0.0.tgz"), "{asked:?}");
    assert!(asked.iter().all(|asked| asked.authorization.is_none()), "{asked:?}");
}

#[tokio::test]
async fn a_repository_that_passes_its_password_on_gets_none() {
    let plane = shared().await;
    let folder = tempfile::tempdir().unwrap();
    let closed = Charts::start(Some(("bob", "opensesame"))).await;
    let open = Charts::start(None).await;
    let archive = format!("{}/stray-1.0.0.tgz", open.url);
    let chart = packed(folder.path(), "stray").await;
    closed.put("stray", "1.0.0", &archive, chart.clone());
    open.put("stray", "1.0.0", "stray-1.0.0.tgz", chart);
    let helmfile = |field: &str| {
        format!(
            "repositories:\n- {{name: closed, url: '{}', {field}: true}}\nreleases:\n- {{name: one, chart: closed/stray, version: 1.0.0}}\n",
            closed.url
        )
    };
    let unchecked = format!(
        "repositories:\n- {{name: closed, url: '{}'}}\nreleases:\n- {{name: one, chart: closed/stray, version: 1.0.0, \
         insecureSkipTLSVerify: true}}\n",
        closed.url
    );
    let stage = Deliveries::new(
        plane,
        "passed-on",
        &[
            ("pass.yaml", &helmfile("passCredentials")),
            ("skip.yaml", &helmfile("skipTLSVerify")),
            ("release.yaml", &unchecked),
        ],
    )
    .await;
    put(&stage, "Secret", "login", json!({"username": "bob", "password": "opensesame"})).await;
    let _operator = stage.start(&[]).await;
    let registries = json!([{"url": closed.url, "secretRef": {"name": "login"}}]);
    for (name, words) in [
        ("pass", "take `passCredentials` out of the helmfile"),
        ("skip", "take `skipTLSVerify` out of the helmfile"),
        ("release", "the helmfile says `insecureSkipTLSVerify`"),
    ] {
        let source = stage.source(&format!("@{name}.yaml"));
        stage.apply(name, json!({"source": source, "registries": registries})).await;
        let object = stage.ready(name, "False", words).await;
        assert_eq!(find(&object, "Ready")["reason"], "HelmfileInvalid", "{:#}", object["status"]);
    }
    // The last one gives its login to the index, which is checked, and not to the chart.
    let given: Vec<_> = closed.asked().into_iter().filter(|asked| asked.authorization.is_some()).collect();
    assert!(given.iter().all(|asked| asked.path == "/index.yaml"), "{given:?}");
    assert!(open.asked().iter().all(|asked| asked.authorization.is_none()));
}

#[tokio::test]
async fn a_password_of_an_oci_registry_goes_to_that_registry_only() {
    let plane = shared().await;
    let folder = tempfile::tempdir().unwrap();
    let closed = Charts::start(Some(("bob", "opensesame"))).await;
    let open = Charts::start(None).await;
    closed.put_image("charts/mine", "1.0.0", packed(folder.path(), "mine").await);
    open.put_image("charts/other", "1.0.0", packed(folder.path(), "other").await);
    let host = |charts: &Charts| charts.url.strip_prefix("http://").unwrap().to_owned();
    let helmfile = format!(
        "repositories:\n- {{name: closed, url: {}/charts, oci: true, plainHttp: true}}\n- {{name: open, url: {}/charts, oci: true, plainHttp: true}}\nreleases:\n- {{name: one, chart: closed/mine, version: 1.0.0}}\n- {{name: two, chart: open/other, version: 1.0.0}}\n",
        host(&closed),
        host(&open)
    );
    let stage = Deliveries::new(plane, "oci", &[("helmfile.yaml", &helmfile)]).await;
    let shims = Shims::of(plane, &stage);
    put(&stage, "Secret", "login", json!({"username": "bob", "password": "opensesame"})).await;
    let operator = stage.start(&[("PATH", &shims.path)]).await;
    let spec = |registries: Value| json!({"source": stage.source(""), "registries": registries});
    stage.apply("h", spec(json!([]))).await;
    let object = stage.ready("h", "False", "mine").await;
    assert_eq!(find(&object, "Ready")["reason"], "ChartUnavailable", "{:#}", object["status"]);
    stage.apply("h", spec(json!([{"host": host(&closed), "secretRef": {"name": "login"}}]))).await;
    let object = stage.ready("h", "True", "2 releases").await;
    for name in ["one", "two"] {
        assert!(stage.scene.get(&config_map(), name).await.is_object(), "{name}");
    }
    assert!(
        closed.asked().iter().any(|asked| asked.path.contains("/blobs/") && asked.authorization.is_some())
    );
    let strangers = open.asked();
    assert!(strangers.iter().all(|asked| asked.authorization.is_none()), "{strangers:?}");
    assert!(strangers.iter().any(|asked| asked.path.contains("/blobs/")), "{strangers:?}");
    let told = format!("{}{}{}", shims.calls().join("\n"), operator.log(), object["status"]);
    assert!(!told.contains("opensesame") && !told.contains("Ym9iOm9wZW5zZXNhbWU="), "{told}");
}

#[tokio::test]
async fn plugins_of_the_image_are_there() {
    let plane = shared().await;
    let stage = Deliveries::new(
        plane,
        "plugins",
        &[
            ("helmfile.yaml", "releases:\n- name: one\n  chart: ./chart\n  postRenderer: shout\n"),
            ONE_RELEASE[1],
            ONE_RELEASE[2],
        ],
    )
    .await;
    let plugins = stage.scene.folder().join("plugins");
    let shout = plugins.join("shout");
    fs::create_dir_all(&shout).unwrap();
    fs::write(
        shout.join("plugin.yaml"),
        "apiVersion: v1\nname: shout\ntype: postrenderer/v1\nversion: 0.1.0\nruntime: subprocess\nruntimeConfig:\n  platformCommand:\n  - command: ${HELM_PLUGIN_DIR}/shout.sh\n",
    )
    .unwrap();
    let script = stage.scene.hook("shout.sh", "sed 's/a: \"1\"/a: SHOUTED/'");
    fs::rename(script, shout.join("shout.sh")).unwrap();
    let _operator = stage.start(&[("HELM_PLUGINS", plugins.to_str().unwrap())]).await;
    stage.apply("h", json!({"source": stage.source("")})).await;
    let object = stage.ready("h", "True", "1 release").await;
    assert_eq!(stage.scene.get(&config_map(), "one").await["data"]["a"], "SHOUTED");
    // Nobody knows what a program does next time.
    let reason = object["status"]["refreshReason"].as_str().unwrap();
    assert!(reason.contains("`postRenderer` in helmfile.yaml line 4"), "{reason}");
}
