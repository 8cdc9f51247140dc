//! What a Helmfile takes from its namespace, from the real API server and by the real sops.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use helmfile_operator::{
    helmfile::{
        api::HelmfileSpec,
        inputs::{InputError, Inputs, Sops, gather, is_encrypted},
    },
    process::Command,
};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::{
    control_plane::{ControlPlane, shared},
    tools::{Tools, guard},
};

/// A namespace, and a folder for sops.
struct Stage {
    plane: &'static ControlPlane,
    namespace: String,
    folder: TempDir,
    client: Client,
}

impl Stage {
    async fn new() -> Self {
        let plane = shared().await;
        let namespace = plane.namespace("gather").await;
        Self { plane, namespace, folder: tempfile::tempdir().unwrap(), client: plane.client().await }
    }

    async fn secret(&self, name: &str, data: Value) {
        let secret = json!({"metadata": {"name": name}, "stringData": data});
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        api.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    }

    async fn config_map(&self, name: &str, data: Value) {
        let map = json!({"metadata": {"name": name}, "data": data});
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        api.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
    }

    fn sops(&self) -> Sops {
        Sops {
            guard: guard(),
            env: self.plane.tools().environment(self.folder.path()),
            folder: self.folder.path().to_owned(),
            stop: CancellationToken::new(),
        }
    }

    async fn gather(&self, spec: Value) -> Result<Inputs, InputError> {
        self.gather_by(&self.client, &self.sops(), spec).await
    }

    async fn gather_by(&self, client: &Client, sops: &Sops, spec: Value) -> Result<Inputs, InputError> {
        let spec: HelmfileSpec = serde_json::from_value(spec).unwrap();
        gather(&spec, &self.namespace, Some(client), sops).await
    }

    /// A client that is somebody with no right at all.
    async fn as_default_account(&self) -> Client {
        let mut file = Kubeconfig::read_from(self.plane.kubeconfig()).unwrap();
        let user = file.auth_infos[0].auth_info.as_mut().unwrap();
        user.impersonate = Some(format!("system:serviceaccount:{}:default", self.namespace));
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
        Client::try_from(config).unwrap()
    }
}

fn said(result: Result<Inputs, InputError>) -> (&'static str, String) {
    let error = result.unwrap_err();
    (error.reason(), error.to_string())
}

#[tokio::test]
async fn config_maps_and_secrets_become_inputs() {
    let stage = Stage::new().await;
    stage.config_map("plain", json!({"values.yaml": "a: 1\nb: {c: 2}", "text": "hello"})).await;
    stage.secret("db", json!({"values.yaml": "b: {d: swordfish}", "password": "hunter2\n"})).await;
    stage.secret("git", json!({"username": "bob", "password": "opensesame"})).await;
    let inputs = stage
        .gather(json!({
            "valuesFrom": [{"kind": "ConfigMap", "name": "plain"}, {"kind": "Secret", "name": "db"},
                           {"kind": "Secret", "name": "db", "key": "password", "targetPath": "db.password"},
                           {"kind": "ConfigMap", "name": "gone", "optional": true}],
            "env": [{"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "plain", "key": "text"}}}],
            "secretRef": {"name": "git"},
        }))
        .await
        .unwrap();
    let expected = json!({"a": 1, "b": {"c": 2, "d": "swordfish"}, "db": {"password": "hunter2"}});
    assert_eq!(Value::Object(inputs.values), expected);
    assert_eq!(inputs.env["GREETING"], "hello");
    assert_eq!(inputs.credentials.login, Some(("bob".into(), "opensesame".into())));
    assert_eq!(inputs.secrets, ["opensesame", "swordfish", "hunter2"]);
}

#[tokio::test]
async fn what_is_missing_or_forbidden_is_said_with_its_place() {
    let stage = Stage::new().await;
    stage.secret("db", json!({"a": "hunter2", "b": "swordfish"})).await;
    let (reason, message) =
        said(stage.gather(json!({"valuesFrom": [{"kind": "Secret", "name": "gone"}]})).await);
    let expected =
        format!("valuesFrom[0] names Secret `gone`, which does not exist in namespace `{}`", stage.namespace);
    assert_eq!((reason, message), ("InputNotFound", expected));
    let of_db = json!({"valuesFrom": [{"kind": "Secret", "name": "db", "key": "x"}]});
    let (reason, message) = said(stage.gather(of_db.clone()).await);
    let expected = "valuesFrom[0] names Secret `db`, which has no key `x`; it has `a`, `b`";
    assert_eq!((reason, message.as_str()), ("InputNotFound", expected));
    let nobody = stage.as_default_account().await;
    let (reason, message) = said(stage.gather_by(&nobody, &stage.sops(), of_db).await);
    assert_eq!(reason, "Forbidden");
    let start = "valuesFrom[0] names Secret `db`, which may not be read: ";
    let who =
        format!("User \"system:serviceaccount:{}:default\" cannot get resource \"secrets\"", stage.namespace);
    assert!(message.starts_with(start) && message.contains(&who), "{message}");
    // Somebody with no right at all can gather nothing.
    let inputs = stage.gather_by(&nobody, &stage.sops(), json!({"values": {"a": 1}})).await.unwrap();
    assert_eq!(Value::Object(inputs.values), json!({"a": 1}));
}

async fn run(folder: &Path, env: &[(&str, &str)], program: &str, args: &[&str]) -> String {
    let tools = Tools::find().await.unwrap();
    let command = Command::new(tools.path(program), folder)
        .args(args)
        .envs(tools.environment(folder))
        .envs(env.iter().copied());
    let finished = command.run(&guard(), &CancellationToken::new(), &mut |_| {}).await.unwrap();
    assert!(finished.status.success(), "{program} {args:?}: {}", finished.stderr);
    String::from_utf8(finished.stdout).unwrap()
}

/// A key of age, and who it is.
async fn key(folder: &Path) -> (String, String) {
    let text = run(folder, &[], "age-keygen", &[]).await;
    let (_, rest) = text.split_once("# public key: ").unwrap();
    let recipient = rest.lines().next().unwrap().to_owned();
    (text, recipient)
}

async fn encrypted(folder: &Path, recipient: &str, text: &str) -> String {
    std::fs::write(folder.join("plain.yaml"), text).unwrap();
    run(folder, &[], "sops", &["encrypt", "--age", recipient, "plain.yaml"]).await
}

#[tokio::test]
async fn encrypted_values_are_decrypted_before_they_are_merged() {
    let stage = Stage::new().await;
    let folder = stage.folder.path();
    let (right, recipient) = key(folder).await;
    let (wrong, _) = key(folder).await;
    let text = encrypted(folder, &recipient, "db: {password: hunter2, port: 5432}\n").await;
    assert!(is_encrypted(&text) && !text.contains("hunter2"), "{text}");
    stage
        .config_map("enc", json!({"values.yaml": text, "changed": text.replacen("data:", "data:A", 1)}))
        .await;
    stage.secret("right", json!({"a.agekey": wrong, "b.agekey": right})).await;
    stage.secret("wrong", json!({"a.agekey": wrong})).await;
    let spec = |keys: Option<&str>, key: &str| {
        let mut spec = json!({"valuesFrom": [{"kind": "ConfigMap", "name": "enc", "key": key}]});
        if let Some(name) = keys {
            spec["decryption"] = json!({"provider": "sops", "secretRef": {"name": name}});
        }
        spec
    };
    let inputs = stage.gather(spec(Some("right"), "values.yaml")).await.unwrap();
    assert_eq!(Value::Object(inputs.values), json!({"db": {"password": "hunter2", "port": 5432}}));
    assert!(inputs.secrets.contains(&"hunter2".to_owned()), "also from a ConfigMap");

    let name = "valuesFrom[0]: `values.yaml of ConfigMap enc`";
    assert_eq!(
        said(stage.gather(spec(None, "values.yaml")).await).1,
        format!("{name} is encrypted with SOPS; name the Secret with its keys in `decryption`")
    );
    assert_eq!(
        said(stage.gather(spec(Some("wrong"), "values.yaml")).await),
        (
            "InputInvalid",
            format!(
                "{name} can't be decrypted: it needs the key of `{recipient}`, which `decryption` does not have"
            )
        )
    );
    let (_, message) = said(stage.gather(spec(Some("right"), "changed")).await);
    assert!(message.ends_with("it was changed after it was encrypted"), "{message}");
    let bare = Sops { env: BTreeMap::from([("PATH".into(), OsString::from("/nowhere"))]), ..stage.sops() };
    let (reason, message) =
        said(stage.gather_by(&stage.client, &bare, spec(Some("right"), "values.yaml")).await);
    let expected = "valuesFrom[0]: `sops` is not on PATH; the applier needs it for encrypted files such as `values.yaml of ConfigMap enc`";
    assert_eq!((reason, message.as_str()), ("ProgramNotFound", expected));
}

#[tokio::test]
async fn an_encrypted_file_becomes_a_private_one() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let (keys, recipient) = key(folder.path()).await;
    let file = folder.path().join("enc.yaml");
    std::fs::write(&file, encrypted(folder.path(), &recipient, "a: hunter2\n").await).unwrap();
    let env = Tools::find().await.unwrap().environment(folder.path());
    let stop = CancellationToken::new();
    let sops = Sops { guard: guard(), env, folder: folder.path().to_owned(), stop };
    let keys = sops.keys(&keys).unwrap();
    let plain = sops.plain_file("enc.yaml", &file, Some(&keys)).await.unwrap().file;
    assert_eq!(std::fs::read_to_string(&plain).unwrap(), "a: hunter2\n");
    for private in [plain.as_path(), keys.file()] {
        assert_eq!(
            std::fs::metadata(private).unwrap().permissions().mode() & 0o077,
            0,
            "{}",
            private.display()
        );
    }
    let unencrypted = folder.path().join("plain.yaml");
    assert_eq!(sops.plain_file("plain.yaml", &unencrypted, None).await.unwrap().file, unencrypted);
    let gone = keys.file().to_owned();
    drop(keys);
    assert!(!gone.exists(), "keys go away");
}
