//! A hook without an interpreter: this very program, started again by the operator.

use std::io::Read as _;

use serde_json::{Value, json};

/// The first argument that makes a hook of this program.
pub(crate) const ARGUMENT: &str = "be-a-hook";

/// Reads a state; prints one `ConfigMap` of the object's name, and a status.
pub(crate) fn main() {
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input).unwrap();
    let state: Value = serde_json::from_slice(&input).unwrap();
    let (name, text) = (&state["object"]["metadata"]["name"], &state["object"]["spec"]["text"]);
    let child =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": text}});
    println!("{}", json!({"dependents": {"configmap.v1": [child]}, "status": {"text": text}}));
}
