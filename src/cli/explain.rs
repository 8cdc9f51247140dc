//! `explain`: why the handler of an object ran or did not, as a running operator tells it.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use hyper::StatusCode;

use super::{ask, report, world};
use crate::{
    cluster::client::{self, ConnectError, Connection, Target},
    engine::record::{
        self,
        view::{ObjectReport, Problem},
    },
    exit::Exit,
};

/// Tell why the handler of an object last ran or did not.
///
/// Asks a running operator: what it was given, what it answered, what was written, and what it waits for. The operator
/// remembers the last runs only, and none from before it started.
// For a Helmfile this is the operator's side: the runner's Deployment. What helmfile did is told by the runner's pod,
// whose own engine has the same records; asking it through here is for later.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The object's kind, in any case; with its group where several have the name: `hello`, `hello.example.com`
    kind: String,
    /// The object's name
    name: String,
    /// The object's namespace [default: that of the kubeconfig]
    #[arg(short, long)]
    namespace: Option<String>,
    /// Where the operator's admin server is, for example `http://127.0.0.1:8081` [default: its pod, by a port-forward]
    #[arg(long, value_name = "URL", conflicts_with = "operator_namespace")]
    admin: Option<String>,
    /// The namespace of the operator's pod
    #[arg(long, value_name = "NAMESPACE", default_value = "helmfile-operator")]
    operator_namespace: String,
    /// Kubeconfig. Default: $KUBECONFIG or ~/.kube/config
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// How to print a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Text,
    /// All that the operator knows.
    Json,
}

pub(super) fn main(args: &ExplainArgs) -> anyhow::Result<Exit> {
    let (status, text) = world::runtime()?.block_on(ask(args))?;
    if status != StatusCode::OK {
        let problem = serde_json::from_str::<Problem>(&text).map(|problem| problem.message);
        bail!("the operator answered {}: {}", status.as_u16(), problem.unwrap_or(text));
    }
    let read = || serde_json::from_str::<ObjectReport>(&text);
    let known = read().context("the operator's answer makes no sense; is it of the same version?")?;
    match args.output {
        Output::Json => report::print(&text),
        Output::Text => report::print(&record::explain(&known)),
    }
}

async fn ask(args: &ExplainArgs) -> anyhow::Result<ask::Answer> {
    let kubeconfig = args.kubeconfig.as_ref().map(world::absolute).transpose()?;
    let target = Target { kubeconfig, context: None };
    let path = |namespace: &str| {
        let words = [args.kind.as_str(), namespace, args.name.as_str()].map(encode);
        format!("/debug/whitebox/objects/{}", words.join("/"))
    };
    match (&args.admin, &args.namespace) {
        (Some(url), Some(namespace)) => ask::url(url, &path(namespace)).await,
        (Some(url), None) => {
            let namespace = match client::connect(&target).await {
                Ok(Connection { namespace, .. }) => namespace,
                // The server need not be one of a cluster that we can reach.
                Err(ConnectError::Nothing) => "default".to_owned(),
                Err(error) => return Err(error.into()),
            };
            ask::url(url, &path(&namespace)).await
        }
        (None, namespace) => {
            let connection = client::connect(&target).await?;
            let namespace = namespace.as_ref().unwrap_or(&connection.namespace);
            ask::pod(&connection.client, &args.operator_namespace, &path(namespace)).await
        }
    }
}

/// A part of a path, percent-encoded.
fn encode(part: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encoded = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    part.bytes().map(encoded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_paths() {
        assert_eq!(encode("system:node/a b"), "system%3Anode%2Fa%20b");
        assert_eq!(encode("hello.example.com"), "hello.example.com");
    }
}
