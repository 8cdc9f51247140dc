//! `check --cluster`: what it finds on a real API server, and that it asks for no more than is needed.

use std::time::Duration;

use helmfile_operator::process::{Command, Finished};
use tokio_util::sync::CancellationToken;

use crate::{
    install::as_account,
    support::{
        control_plane::{ControlPlane, shared},
        scene::Scene,
        tools::{executable, guard},
    },
};

/// Runs `check --cluster` as somebody.
pub(super) async fn check(plane: &ControlPlane, kubeconfig: &str, args: &[&str]) -> Finished {
    let command =
        Command { timeout: Some(Duration::from_mins(1)), ..Command::new(executable().unwrap(), plane.dir()) };
    let command = command
        .args(["check", "--cluster", "--kubeconfig", kubeconfig])
        .args(args)
        .envs(plane.tools().environment(plane.dir()));
    command.run(&guard(), &CancellationToken::new(), &mut |_| {}).await.unwrap()
}

fn said(finished: &Finished) -> Vec<&str> {
    finished.stderr.lines().collect()
}

/// Binds a role with these rules, in the namespace, to a new service account; returns a kubeconfig.
async fn account(scene: &Scene<'_>, name: &str, rules: &[(&str, &str)]) -> String {
    let (plane, namespace) = (scene.plane, scene.namespace.as_str());
    plane.kubectl(&["create", "serviceaccount", name, "-n", namespace]).await;
    for (number, (verbs, resource)) in rules.iter().enumerate() {
        let role = format!("{name}-{number}");
        let (verbs, resource) = (format!("--verb={verbs}"), format!("--resource={resource}"));
        plane.kubectl(&["create", "role", &role, &verbs, &resource, "-n", namespace]).await;
        let (role_flag, subject) = (format!("--role={role}"), format!("--serviceaccount={namespace}:{name}"));
        plane.kubectl(&["create", "rolebinding", &role, &role_flag, &subject, "-n", namespace]).await;
    }
    as_account(plane, namespace, name).await
}

#[tokio::test]
async fn kinds_that_are_not_served_are_named_with_what_was_meant() {
    let plane = shared().await;
    let scene = Scene::new(plane, "check-kinds").await;
    let text = "crds: [crd.yaml]\nresources:\n\
                - {name: good, group: test.example.com, version: v1, kind: Hello, reconciler: {exec: {command: sh}}, dependents: [{version: v1, kind: Pod}]}\n\
                - {name: old, group: extensions, version: v1beta1, kind: Ingress, reconciler: {exec: {command: sh}}}\n\
                - {name: odd, version: v1, kind: ConfigMap, reconciler: {exec: {command: sh}}, dependents: [{group: g.io, version: v1, kind: Nothing}]}\n";
    let config = scene.write("config.yaml", text, 0o644);
    let config = config.to_str().unwrap();
    let admin = plane.kubeconfig().to_str().unwrap();
    let found = check(plane, admin, &["-f", config]).await;
    assert_eq!(
        said(&found),
        [
            "error: the API server does not serve extensions/v1beta1 Ingress, which entry `old` needs; did you mean networking.k8s.io/v1 Ingress?",
            "error: the API server does not serve g.io/v1 Nothing, which entry `odd` needs; is its CustomResourceDefinition installed?",
        ]
    );
    assert!(!found.status.success());
    let config = scene.write("good.yaml", &text.lines().take(3).collect::<Vec<_>>().join("\n"), 0o644);
    let found = check(plane, admin, &["-f", config.to_str().unwrap()]).await;
    assert_eq!((found.stdout.as_slice(), found.stderr.as_str()), (&b"ok: good\n"[..], ""));
}

#[tokio::test]
async fn missing_rights_are_named_and_exactly_those_that_are_named_suffice() {
    let plane = shared().await;
    let scene = Scene::new(plane, "check-rights").await;
    let text = "resources:\n\
                - {name: web, version: v1, kind: Service, condition: Ready, reconciler: {exec: {command: sh}}, dependents: [{group: apps, version: v1, kind: Deployment}]}\n\
                - {name: look, version: v1, kind: Service, reconciler: {exec: {command: sh}, observe: true}}\n";
    let config = scene.write("config.yaml", text, 0o644);
    let namespace = scene.namespace.as_str();
    let here = ["-f", config.to_str().unwrap(), "-n", namespace];
    let without = account(&scene, "nobody", &[]).await;
    let found = check(plane, &without, &here).await;
    let there = format!("in namespace `{namespace}`");
    assert_eq!(
        said(&found),
        [
            format!(
                "error: may not create, delete, get, list, patch, watch `deployments.apps` {there}, which entry `web` needs"
            ),
            format!("error: may not create, patch `events.events.k8s.io` {there}, which entry `web` needs"),
            format!(
                "note: may not create, patch `events.events.k8s.io` {there}, which entry `look` needs only when its handler fails"
            ),
            format!(
                "error: may not list, watch `services` {there}, which each of the entries `look`, `web` needs"
            ),
            format!(
                "note: may not delete `services` {there}, which entry `web` needs only when a reply deletes the object"
            ),
            format!(
                "note: may not patch `services` {there}, which entry `web` needs only when a reply edits the object"
            ),
            format!(
                "note: may not get `services` {there}, which entry `web` needs only when the kind's conditions are one list for all who write them"
            ),
            format!("error: may not update `services/finalizers` {there}, which entry `web` needs"),
            format!("error: may not patch `services/status` {there}, which entry `web` needs"),
        ]
    );
    assert!(!found.status.success());

    let rules = [
        ("create,delete,get,list,patch,watch", "deployments.apps"),
        ("create,patch", "events.events.k8s.io"),
        ("list,watch", "services"),
        ("update", "services/finalizers"),
        ("patch", "services/status"),
    ];
    let bound = account(&scene, "somebody", &rules).await;
    let found = check(plane, &bound, &here).await;
    assert_eq!(found.stdout, b"ok: web, look\n", "{}", found.stderr);
    assert!(found.status.success());
    assert_eq!(said(&found).len(), 3, "only notes: {}", found.stderr);
    // The same rights are not enough where no namespace is named.
    let everywhere = check(plane, &bound, &here[..2]).await;
    assert!(
        everywhere.stderr.contains("may not list, watch `services` in the whole cluster"),
        "{}",
        everywhere.stderr
    );
}

#[tokio::test]
async fn the_installed_roles_are_enough_for_the_builtin_config() {
    let plane = shared().await;
    let manifests = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/install.yaml");
    plane.kubectl(&["apply", "--server-side", "-f", manifests]).await;
    let kubeconfig = as_account(plane, "helmfile-operator", "helmfile-operator").await;
    let found = check(plane, &kubeconfig, &[]).await;
    assert_eq!(found.stdout, b"ok: helmfile-runner\n", "{}", found.stderr);
}
