//! Asking what is known of one object: the operator, and for a Helmfile the applier that delivers it.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use hyper::StatusCode;
use kube::Client;

use super::{
    ask::{self, Answer, Peer},
    objects, world,
};
use crate::{
    cluster::client::{self, ConnectError, Target},
    engine::record::view::{ObjectQuery, ObjectReport, Problem},
};

/// Which operator, and by which way.
#[derive(Debug, Args)]
pub(super) struct Route {
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
    /// A context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// What somebody has answered.
#[derive(Debug)]
pub(super) struct Told {
    /// As it came.
    pub text: String,
    /// As it is read.
    pub report: ObjectReport,
}

/// A question about one object, and who can be asked.
pub(super) struct Inquiry {
    query: ObjectQuery,
    namespace: String,
    way: Way,
    /// What else is asked for, at the end of the path.
    more: &'static str,
}

enum Way {
    /// One admin server.
    Url(String),
    /// Pods of a cluster.
    Pods { client: Client, operator: String },
}

impl Inquiry {
    /// Finds out whom to ask. Nobody is asked yet.
    pub(super) async fn open(route: &Route, kind: &str, name: &str) -> anyhow::Result<Self> {
        let kubeconfig = route.kubeconfig.as_ref().map(world::absolute).transpose()?;
        let target = Target { kubeconfig, context: route.context.clone() };
        let (way, namespace) = match (&route.admin, &route.namespace) {
            (Some(url), Some(namespace)) => (Way::Url(url.clone()), namespace.clone()),
            (Some(url), None) => match client::connect(&target).await {
                Ok(connection) => (Way::Url(url.clone()), connection.namespace),
                // The server need not be one of a cluster that we can reach.
                Err(ConnectError::Nothing) => (Way::Url(url.clone()), "default".to_owned()),
                Err(error) => return Err(error.into()),
            },
            (None, namespace) => {
                let connection = client::connect(&target).await?;
                let operator = route.operator_namespace.clone();
                let namespace = namespace.clone().unwrap_or(connection.namespace);
                (Way::Pods { client: connection.client, operator }, namespace)
            }
        };
        let query =
            ObjectQuery { kind: kind.to_owned(), namespace: Some(namespace.clone()), name: name.to_owned() };
        Ok(Self { query, namespace, way, more: "" })
    }

    /// Asks for the whole logs as well, where they are kept.
    pub(super) fn with_logs(self) -> Self {
        Self { more: "?log=true", ..self }
    }

    /// Asks the operator.
    pub(super) async fn operator(&self) -> anyhow::Result<Told> {
        let answer = match &self.way {
            Way::Url(url) => ask::url(url, &self.path()).await,
            Way::Pods { client, operator } => ask::pod(client, &Peer::operator(operator), &self.path()).await,
        };
        read("the operator", answer?)
    }

    /// Asks the applier; `None` when the object has none of its own, and when only one server is asked.
    pub(super) async fn applier(&self) -> anyhow::Result<Option<Told>> {
        let Way::Pods { client, .. } = &self.way else { return Ok(None) };
        if !self.query.names(&objects::kind()) {
            return Ok(None);
        }
        let peer = Peer::applier(&self.namespace, &self.query.name);
        let answer = ask::if_there(client, &peer, &self.path()).await?;
        answer.map(|answer| read("the applier", answer)).transpose()
    }

    fn path(&self) -> String {
        let words = [self.query.kind.as_str(), &self.namespace, &self.query.name].map(encode);
        format!("/debug/whitebox/objects/{}{}", words.join("/"), self.more)
    }
}

/// Why nobody could tell anything: each reason may be the one that can be helped.
pub(super) fn nobody(applier: &anyhow::Error, operator: &anyhow::Error) -> anyhow::Error {
    anyhow!("{applier:#}; and {operator:#}")
}

fn read(who: &str, (status, text): Answer) -> anyhow::Result<Told> {
    if status != StatusCode::OK {
        let problem = serde_json::from_str::<Problem>(&text).map(|problem| problem.message);
        bail!("{who} answered {}: {}", status.as_u16(), problem.unwrap_or(text));
    }
    let report = serde_json::from_str(&text);
    let report =
        report.with_context(|| format!("{who}'s answer makes no sense; is it of the same version?"))?;
    Ok(Told { text, report })
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
