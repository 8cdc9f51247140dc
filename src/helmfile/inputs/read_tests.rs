use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use kube::config::Kubeconfig;
use serde_json::{Value, json};

use super::*;
use crate::helmfile::{
    api::SourceKind,
    inputs::objects::{Answer, Object},
};

/// Kind (`s` or `c`), name, and data as a JSON object; a key `type` in a Secret is its type.
fn objects(all: &[(&str, &str, Value)]) -> Objects {
    let mut answers = BTreeMap::new();
    for (kind, name, data) in all {
        let kind = if *kind == "s" { SourceKind::Secret } else { SourceKind::ConfigMap };
        let mut object = Object::default();
        for (key, text) in data.as_object().unwrap() {
            let text = text.as_str().unwrap();
            if key == "type" {
                object.type_of = Some(text.to_owned());
            } else {
                object.data.insert(key.clone(), text.as_bytes().to_vec());
            }
        }
        answers.insert((kind, (*name).to_owned()), Answer::Object(object));
    }
    Objects { namespace: "shop".to_owned(), answers }
}

fn spec(value: Value) -> HelmfileSpec {
    serde_json::from_value(value).unwrap()
}

fn read(spec_of: Value, all: &[(&str, &str, Value)]) -> Result<Inputs, (&'static str, String)> {
    let (spec, objects) = (spec(spec_of), objects(all));
    let keys = spec.decryption.as_ref().map(|decryption| age_keys(decryption, &objects)).transpose();
    keys.and_then(|keys| inputs(&spec, &objects, &Decrypted::new(), keys))
        .map_err(|error| (error.reason(), error.to_string()))
}

fn refused(spec_of: Value, all: &[(&str, &str, Value)]) -> (&'static str, String) {
    read(spec_of, all).unwrap_err()
}

#[test]
fn values_lie_over_each_other_in_the_documented_order() {
    let all = [
        ("c", "one", json!({"values.yaml": "a: 1\nmap: {x: one, y: one}\nlist: [1, 2]\nnone: 1\n"})),
        ("s", "two", json!({"other": "map: {y: two, z: two}\nlist: [3]\npassword: hunter2\nnone: null"})),
        ("s", "one", json!({"values.yaml": "", "port": "5432\n", "pin": "0042", "raw": "true\n"})),
    ];
    let inputs = read(
        json!({
            "valuesFrom": [
                {"kind": "Secret", "name": "one", "key": "port", "targetPath": "db.port"},
                {"kind": "ConfigMap", "name": "one"},
                {"kind": "Secret", "name": "two", "key": "other"},
                {"kind": "Secret", "name": "one"},
                {"kind": "Secret", "name": "one", "key": "pin", "targetPath": "map.y"},
                {"kind": "Secret", "name": "one", "key": "raw", "targetPath": "db.hosts[1].name", "literal": true},
                {"kind": "Secret", "name": "absent", "key": "x", "targetPath": "gone", "optional": true},
                {"kind": "Secret", "name": "one", "key": "absent", "optional": true}],
            "values": {"map": {"y": "spec", "z": "spec"}, "db": {"port": 1, "user": "u"}},
        }),
        &all,
    );
    assert_eq!(
        Value::Object(inputs.unwrap().values),
        json!({
            "a": 1, "map": {"x": "one", "y": "0042", "z": "spec"}, "list": [3], "none": null, "password": "hunter2",
            "db": {"port": 5432, "user": "u", "hosts": [null, {"name": "true\n"}]}})
    );
}

#[test]
fn what_came_from_secrets_is_hidden_and_nothing_else() {
    let all = [
        (
            "s",
            "db",
            json!({"values.yaml": "a: hunter2\nb: [{c: swordfish, d: abc}]\npin: 123456\nport: 80\n", "pw": "{left,right}\n"}),
        ),
        ("c", "db", json!({"values.yaml": "a: public\n", "x": "shown"})),
    ];
    let inputs = read(
        json!({
            "valuesFrom": [{"kind": "Secret", "name": "db"}, {"kind": "ConfigMap", "name": "db"},
                           {"kind": "Secret", "name": "db", "key": "pw", "targetPath": "l"}],
            "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "db", "key": "pw"}}},
                    {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "db", "key": "x"}}},
                    {"name": "C", "value": "plain"}],
            "values": {"x": "in the spec"},
        }),
        &all,
    )
    .unwrap();
    assert_eq!(inputs.secrets, ["{left,right}", "swordfish", "hunter2", "123456", "right", "left"]);
    let printed = format!("{inputs:?}");
    for secret in &inputs.secrets {
        assert!(!printed.contains(secret.as_str()), "{printed}");
    }
}

#[test]
fn variables_lie_over_envvars() {
    let all = [("s", "x", json!({"k": "secret\n"})), ("c", "x", json!({"k": "public"}))];
    let inputs = read(
        json!({
            "envvars": {"A": "1", "B": "2", "D": "4"},
            "env": [{"name": "B", "value": "over"},
                    {"name": "C", "valueFrom": {"secretKeyRef": {"name": "x", "key": "k"}}},
                    {"name": "D", "valueFrom": {"secretKeyRef": {"name": "x", "key": "gone", "optional": true}}},
                    {"name": "E", "valueFrom": {"configMapKeyRef": {"name": "gone", "key": "k", "optional": true}}},
                    {"name": "F", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "k"}}}],
        }),
        &all,
    );
    let expected = [("A", "1"), ("B", "over"), ("C", "secret\n"), ("D", "4"), ("F", "public")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(inputs.unwrap().env, BTreeMap::from(expected));
}

#[test]
fn what_is_missing_is_said_with_its_place() {
    let from = |index: usize, item: Value| {
        let mut items = vec![json!({"kind": "ConfigMap", "name": "fine"}); index];
        items.push(item);
        json!({"valuesFrom": items})
    };
    let all = [
        ("c", "fine", json!({"values.yaml": "a: 1"})),
        ("s", "db", json!({"a": "", "b": ""})),
        ("s", "bare", json!({})),
    ];
    let many: serde_json::Map<String, Value> = (0..10).map(|n| (format!("k{n}"), json!(""))).collect();
    let all = [&all[..], &[("s", "many", Value::Object(many))]].concat();
    let variable = |name: &str| json!({"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}]});
    let secret = |name: &str| json!({"name": name});
    let table = [
        (
            from(1, json!({"kind": "Secret", "name": "gone"})),
            "valuesFrom[1] names Secret `gone`, which does not exist in namespace `shop`",
        ),
        (
            from(0, json!({"kind": "Secret", "name": "db", "key": "x"})),
            "valuesFrom[0] names Secret `db`, which has no key `x`; it has `a`, `b`",
        ),
        (variable("gone"), "env[0] names Secret `gone`, which does not exist in namespace `shop`"),
        (variable("bare"), "env[0] names Secret `bare`, which has no key `k`; it has none at all"),
        (
            variable("many"),
            "env[0] names Secret `many`, which has no key `k`; it has `k0`, `k1`, `k2`, `k3`, `k4`, `k5`, `k6`, `k7`, 2 more",
        ),
        (
            json!({"secretRef": secret("gone")}),
            "secretRef names Secret `gone`, which does not exist in namespace `shop`",
        ),
        (
            json!({"secretRef": secret("db")}),
            "secretRef names Secret `db`, which has no `username` and `password`, `bearerToken`, `identity` or `ca.crt`; it has `a`, `b`",
        ),
        (
            json!({"registries": [{"host": "h", "secretRef": secret("db")}]}),
            "registries[0] names Secret `db`, which has no key `username`; it has `a`, `b`",
        ),
        (
            json!({"decryption": {"provider": "sops", "secretRef": secret("db")}}),
            "decryption.secretRef names Secret `db`, which has no key whose name ends with `.agekey`; it has `a`, `b`",
        ),
        (
            json!({"kubeConfig": {"secretRef": secret("db")}}),
            "kubeConfig.secretRef names Secret `db`, which has no key `value` or `value.yaml`; it has `a`, `b`",
        ),
    ];
    for (spec, message) in table {
        assert_eq!(refused(spec, &all), ("InputNotFound", message.to_owned()));
    }
}

#[test]
fn an_answer_that_is_none_is_said_even_for_what_may_be_missing() {
    let spec = spec(json!({"valuesFrom": [{"kind": "Secret", "name": "db", "optional": true}]}));
    for (answer, reason, message) in [
        (
            Answer::Forbidden("no".into()),
            "Forbidden",
            "valuesFrom[0] names Secret `db`, which may not be read: no",
        ),
        (
            Answer::Unreachable("down".into()),
            "ClusterUnreachable",
            "valuesFrom[0] names Secret `db`, which could not be read: down",
        ),
    ] {
        let answers = BTreeMap::from([((SourceKind::Secret, "db".to_owned()), answer)]);
        let objects = Objects { namespace: "shop".to_owned(), answers };
        let error = inputs(&spec, &objects, &Decrypted::new(), None).unwrap_err();
        assert_eq!((error.reason(), error.to_string()), (reason, message.to_owned()));
    }
}

#[test]
fn wrong_content_is_said_without_it() {
    let from = |kind: &str, more: Value| {
        let mut item = json!({"kind": kind, "name": "x"});
        item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"valuesFrom": [item]})
    };
    let secret = |text: &str| refused(from("Secret", json!({})), &[("s", "x", json!({"values.yaml": text}))]);
    let whose = "valuesFrom[0] names Secret `x`, whose key `values.yaml`";
    for (text, message) in [
        ("a: 1\nhunter2\nb: 2\n", format!("{whose} is no YAML (line 2, column 1)")),
        ("hunter2", format!("{whose} is no map of values; with `targetPath` it can be a single one")),
        ("[hunter2]", format!("{whose} is no map of values; with `targetPath` it can be a single one")),
        (
            "a: 1\n---\nb: 2\n",
            format!("{whose} holds several YAML documents, and one map of values is needed"),
        ),
    ] {
        assert_eq!(secret(text), ("InputInvalid", message), "{text}");
    }
    let (_, message) =
        refused(from("ConfigMap", json!({})), &[("c", "x", json!({"values.yaml": "a: [1\n"}))]);
    assert!(message.contains("is no YAML: line ") && message.len() > 80, "{message}");
    let target = json!({"key": "k", "targetPath": "a.b"});
    let (_, message) = refused(from("Secret", target.clone()), &[("s", "x", json!({"k": "{hunter2"}))]);
    assert!(message.contains("`literal: true`") && !message.contains("hunter2"), "{message}");
    let mut taken = from("Secret", target);
    taken["values"] = json!({"a": "hunter2"});
    let (reason, message) = refused(taken, &[("s", "x", json!({"k": "v"}))]);
    let expected = "valuesFrom[0].targetPath: `a` is a text already, so nothing can be put at `a.b`";
    assert_eq!((reason, message.as_str()), ("InputInvalid", expected));
    let mut binary = objects(&[("s", "x", json!({}))]);
    let bytes = Object { data: BTreeMap::from([("values.yaml".to_owned(), vec![0xff])]), type_of: None };
    binary.answers.insert((SourceKind::Secret, "x".to_owned()), Answer::Object(bytes));
    let error = inputs(&spec(from("Secret", json!({}))), &binary, &Decrypted::new(), None).unwrap_err();
    assert_eq!(error.to_string(), format!("{whose} is no UTF-8 text"));
}

#[test]
fn what_was_encrypted_is_hidden_wherever_it_was() {
    let spec = spec(json!({"valuesFrom": [{"kind": "ConfigMap", "name": "x"}]}));
    let all = objects(&[("c", "x", json!({"values.yaml": "a: ENC[x]\nsops: {mac: y}"}))]);
    let decrypted = Decrypted::from([(0, "a: hunter2".to_owned())]);
    let inputs = inputs(&spec, &all, &decrypted, None).unwrap();
    assert_eq!(
        (Value::Object(inputs.values), inputs.secrets),
        (json!({"a": "hunter2"}), vec!["hunter2".to_owned()])
    );
}

const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nabcdefgh\n-----END OPENSSH PRIVATE KEY-----\n";
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n";

#[test]
fn credentials_have_the_keys_of_flux() {
    let secret = |data: Value| read(json!({"secretRef": {"name": "x"}}), &[("s", "x", data)]);
    let credentials = |data: Value| secret(data).unwrap().credentials;
    let all = credentials(
        json!({"username": "bob\n", "password": "pass word\n", "bearerToken": "token", "ca.crt": CERTIFICATE}),
    );
    assert_eq!(all.login, Some(("bob".into(), "pass word".into())));
    assert_eq!((all.bearer_token.as_deref(), all.authority.as_deref()), (Some("token"), Some(CERTIFICATE)));
    let key = credentials(json!({"identity": KEY, "known_hosts": "h k v", "password": "open"}));
    let ssh = key.ssh.unwrap();
    assert_eq!((&*ssh.identity, &*ssh.known_hosts, ssh.passphrase.as_deref()), (KEY, "h k v", Some("open")));
    assert_eq!(key.login, None);
    let secrets = secret(json!({"username": "robert", "password": "hunter2"})).unwrap().secrets;
    assert_eq!(secrets, ["hunter2"], "a user is no secret");
    let secrets = secret(json!({"identity": KEY, "known_hosts": "h k v"})).unwrap().secrets;
    assert!(secrets.contains(&"abcdefgh".to_owned()), "each line counts, since logs are lines");
    for (data, message) in [
        (json!({"identity": KEY}), "which has no key `known_hosts`; it has `identity`"),
        (
            json!({"identity": KEY, "known_hosts": "\n"}),
            "whose key `known_hosts` is empty; put there what `ssh-keyscan` prints for the host",
        ),
        (
            json!({"identity": "ssh-ed25519 AAAA", "known_hosts": "x"}),
            "whose key `identity` is no private key",
        ),
        (json!({"username": "x"}), "which has no key `password`; it has `username`"),
        (json!({"password": "x"}), "which has no key `username`; it has `password`"),
        (
            json!({"username": "x", "password": "a\nhost=evil"}),
            "whose key `password` has a line break or control character in it",
        ),
        (
            json!({"bearerToken": "a\r\nX: y"}),
            "whose key `bearerToken` has a line break or control character in it",
        ),
        (json!({"ca.crt": "x"}), "whose key `ca.crt` holds no certificate in PEM"),
    ] {
        assert_eq!(secret(data).unwrap_err().1, format!("secretRef names Secret `x`, {message}"));
    }
}

fn docker(auths: &Value) -> Value {
    let file = json!({"auths": auths, "credsStore": "evil", "credHelpers": {"ghcr.io": "evil"}});
    json!({"type": "kubernetes.io/dockerconfigjson", ".dockerconfigjson": file.to_string()})
}

#[test]
fn each_registry_gets_its_own_credentials_only() {
    let auth = |pair: &str| BASE64_STANDARD.encode(pair);
    let many = docker(&json!({
        "https://ghcr.io/v2/": {"auth": auth("bob:ghcr:pw")},
        "quay.io": {"username": "ann", "password": "quay"},
        "https://index.docker.io/v1/": {"auth": auth("joe:hub")},
        "token.io": {"identitytoken": "refresh", "auth": auth("x:"), "credHelper": "evil"},
    }));
    let all = [("s", "many", many), ("s", "plain", json!({"username": "u\n", "password": "pass\n"}))];
    let registry =
        |field: &str, name: &str, secret: &str| json!({field: name, "secretRef": {"name": secret}});
    let inputs = read(
        json!({"registries": [
            registry("host", "ghcr.io", "many"), registry("host", "quay.io", "many"), registry("host", "docker.io", "many"),
            registry("host", "token.io", "many"), registry("host", "localhost:5000", "plain"),
            registry("url", "https://quay.io/charts", "many"), registry("url", "https://charts.example.com/a", "plain")]}),
        &all,
    )
    .unwrap();
    assert_eq!(
        inputs.registry_config.unwrap(),
        json!({"auths": {
            "ghcr.io": {"auth": auth("bob:ghcr:pw")}, "quay.io": {"auth": auth("ann:quay")},
            "https://index.docker.io/v1/": {"auth": auth("joe:hub")}, "token.io": {"identitytoken": "refresh"},
            "localhost:5000": {"auth": auth("u:pass")}}})
    );
    let repositories: Vec<_> =
        inputs.repositories.iter().map(|one| (&*one.url, &*one.username, &*one.password)).collect();
    assert_eq!(
        repositories,
        [("https://quay.io/charts", "ann", "quay"), ("https://charts.example.com/a", "u", "pass")]
    );
    for secret in ["ghcr:pw", "quay", "refresh", "pass", &auth("u:pass")] {
        assert!(inputs.secrets.contains(&secret.to_owned()), "{secret}");
    }
    let fails = |registries: Value| refused(json!({"registries": registries}), &all).1;
    assert_eq!(
        fails(json!([registry("host", "other.io", "many")])),
        "registries[0] names Secret `many`, whose key `.dockerconfigjson` has no entry for `other.io`; it has `ghcr.io`, `quay.io`, `index.docker.io`, `token.io`"
    );
    assert_eq!(
        fails(json!([registry("host", "a.io", "plain"), registry("host", "a.io", "plain")])),
        "registries[1]: `a.io` has credentials already"
    );
    assert_eq!(read(json!({}), &[]).unwrap().registry_config, None);
}

#[test]
fn of_several_logins_for_parts_of_a_host_none_is_guessed() {
    let read = |auths: Value| {
        let spec = json!({"registries": [{"host": "ghcr.io", "secretRef": {"name": "many"}}]});
        read(spec, &[("s", "many", docker(&auths))])
    };
    let auth = |pair: &str| json!({"auth": BASE64_STANDARD.encode(pair)});
    let (a, b, all) = (auth("a:one"), auth("b:two"), auth("all:three"));
    for (auths, expected) in [
        (json!({"ghcr.io/a": a, "ghcr.io/b": b, "ghcr.io": all}), &all),
        (json!({"ghcr.io/a": a, "ghcr.io": all}), &all),
        (json!({"ghcr.io/a": a, "quay.io": b}), &a),
        (json!({"ghcr.io/a": a, "ghcr.io/b": a}), &a),
    ] {
        let found = read(auths.clone()).unwrap().registry_config.unwrap();
        assert_eq!(&found["auths"]["ghcr.io"], expected, "{auths}");
    }
    assert_eq!(
        read(json!({"ghcr.io/a": a, "ghcr.io/b": b})).unwrap_err().1,
        "registries[0] names Secret `many`, whose key `.dockerconfigjson` has different entries for parts of `ghcr.io` \
         (`ghcr.io/a`, `ghcr.io/b`), and helm knows one login for a host; write the entry `ghcr.io`"
    );
}

#[test]
fn keys_of_age_are_joined() {
    let all = [(
        "s",
        "x",
        json!({"a.agekey": "# comment\nAGE-SECRET-KEY-1A", "b.agekey": "AGE-SECRET-KEY-1B\n", "c": "no"}),
    )];
    let inputs = read(json!({"decryption": {"provider": "sops", "secretRef": {"name": "x"}}}), &all).unwrap();
    assert_eq!(inputs.age_keys.unwrap(), "# comment\nAGE-SECRET-KEY-1A\nAGE-SECRET-KEY-1B\n");
    assert_eq!(inputs.secrets, ["AGE-SECRET-KEY-1A", "AGE-SECRET-KEY-1B"]);
}

fn kubeconfig(cluster: &Value, user: &Value) -> Value {
    let file = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "b", "preferences": {},
        "clusters": [{"name": "a", "cluster": {"server": "http://a"}}, {"name": "b", "cluster": cluster}],
        "users": [{"name": "a", "user": {"exec": {"command": "evil"}}}, {"name": "b", "user": user}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}},
                     {"name": "b", "context": {"cluster": "b", "user": "b", "namespace": "there"}}],
    });
    json!({"value": file.to_string()})
}

fn target(secret: Value) -> Result<Inputs, (&'static str, String)> {
    read(json!({"kubeConfig": {"secretRef": {"name": "x"}}}), &[("s", "x", secret)])
}

#[test]
fn a_kubeconfig_is_left_with_one_context_and_nothing_that_reaches_out() {
    let cluster = json!({"server": "https://b:6443", "certificate-authority-data": "QQ==", "proxy-url": "http://p",
                         "insecure-skip-tls-verify": false, "extensions": [{"name": "x", "extension": {}}]});
    let inputs = target(kubeconfig(&cluster, &json!({"token": "hunter2hunter2", "as": "joe"}))).unwrap();
    let file: Kubeconfig = inputs.kubeconfig.clone().unwrap();
    assert_eq!(
        serde_json::to_value(&file).unwrap(),
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "target",
            "clusters": [{"name": "target", "cluster": {"server": "https://b:6443", "certificate-authority-data": "QQ==", "proxy-url": "http://p"}}],
            "users": [{"name": "target", "user": {"token": "hunter2hunter2", "password": null, "client-key-data": null, "as": "joe"}}],
            "contexts": [{"name": "target", "context": {"cluster": "target", "user": "target", "namespace": "there"}}],
        })
        .as_object()
        .map(|expected| {
            // What the library prints for nothing is none of our business.
            let mut expected = Value::Object(expected.clone());
            let user = expected.pointer_mut("/users/0/user").unwrap().as_object_mut().unwrap();
            user.retain(|_, value| !value.is_null());
            expected
        })
        .unwrap()
    );
    assert_eq!(inputs.secrets, ["hunter2hunter2"]);
    assert_eq!(
        inputs.digest_material()["cluster"],
        json!({"server": "https://b:6443", "namespace": "there"})
    );
}

#[test]
fn a_kubeconfig_that_reaches_out_is_refused_by_the_field() {
    let good = || json!({"server": "https://b"});
    let table = [
        (
            good(),
            json!({"exec": {"command": "evil"}}),
            "has `exec` in its user, which is refused: it names a program",
        ),
        (
            good(),
            json!({"auth-provider": {"name": "gcp"}}),
            "has `auth-provider` in its user, which is refused: it can name a program",
        ),
        (
            good(),
            json!({"token": "x", "tokenFile": "/etc/passwd"}),
            "has `tokenFile` in its user, which is refused: it names a file; put the token itself into `token`",
        ),
        (
            good(),
            json!({"client-certificate": "/x"}),
            "has `client-certificate` in its user, which is refused: it names a file; put its content into `client-certificate-data`",
        ),
        (
            good(),
            json!({"client-key": "/x"}),
            "has `client-key` in its user, which is refused: it names a file; put its content into `client-key-data`",
        ),
        (
            json!({"server": "https://b", "certificate-authority": "/x"}),
            json!({}),
            "has `certificate-authority` in its cluster, which is refused: it names a file; put its content into `certificate-authority-data`",
        ),
        (
            json!({"server": "https://b", "insecure-skip-tls-verify": true}),
            json!({}),
            "has `insecure-skip-tls-verify` in its cluster, which is refused: anybody in between could read the credentials",
        ),
        (good(), json!({"novelty": "x"}), "has `novelty` in its user, which is not known here"),
        (
            json!({"server": "http://b"}),
            json!({}),
            "has a cluster whose `server` does not start with `https://`",
        ),
        (good(), json!({"token": ["x"]}), "has fields of a kind that a kubeconfig does not have"),
    ];
    for (cluster, user, message) in table {
        let message = format!("kubeConfig.secretRef names Secret `x`, whose key `value` {message}");
        assert_eq!(target(kubeconfig(&cluster, &user)).unwrap_err(), ("InputInvalid", message));
    }
    for (text, message) in [
        ("", "is no kubeconfig"),
        ("hunter2", "is no kubeconfig"),
        ("{}", "does not say which context is its current one"),
        ("{current-context: x}", "has no context `x`, which is its current one"),
        (
            "{contexts: [{name: x, context: {cluster: c, user: u}}]}",
            "has no cluster `c`, which its context names",
        ),
    ] {
        let (_, said) = target(json!({"value.yaml": text})).unwrap_err();
        assert_eq!(said, format!("kubeConfig.secretRef names Secret `x`, whose key `value.yaml` {message}"));
    }
}

#[test]
fn rotated_credentials_change_no_digest_and_everything_else_does() {
    let base = json!({
        "valuesFrom": [{"kind": "Secret", "name": "v"}],
        "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "e", "key": "k"}}}],
        "secretRef": {"name": "git"}, "registries": [{"host": "h", "secretRef": {"name": "oci"}}],
        "decryption": {"provider": "sops", "secretRef": {"name": "age"}}, "kubeConfig": {"secretRef": {"name": "kube"}},
    });
    let login = |password: &str| json!({"username": "u", "password": password});
    let kube = |server: &str, token: &str| kubeconfig(&json!({"server": server}), &json!({"token": token}));
    let digest = |name: &str, data: Value| {
        let mut all = [
            ("s", "v", json!({"values.yaml": "a: 1"})),
            ("s", "e", json!({"k": "x"})),
            ("s", "git", login("one")),
            ("s", "oci", login("one")),
            ("s", "age", json!({"a.agekey": "one"})),
            ("s", "kube", kube("https://one", "one")),
        ];
        if let Some(object) = all.iter_mut().find(|(_, its, _)| *its == name) {
            object.2 = data;
        }
        read(base.clone(), &all).unwrap().digest_material()
    };
    let before = digest("", json!({}));
    for (name, data) in [
        ("git", login("two")),
        ("oci", login("two")),
        ("age", json!({"a.agekey": "two"})),
        ("kube", kube("https://one", "two")),
    ] {
        assert_eq!(digest(name, data), before, "{name}");
    }
    for (name, data) in [
        ("v", json!({"values.yaml": "a: 2"})),
        ("e", json!({"k": "y"})),
        ("kube", kube("https://two", "one")),
    ] {
        assert_ne!(digest(name, data), before, "{name}");
    }
}
