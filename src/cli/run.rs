//! `run`: the controllers of a config.

use std::{convert::Infallible, ffi::OsString, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{files::ConfigFiles, report, world};
use crate::{
    clock::Clock,
    cluster::{
        apply::Writer,
        cache::Caches,
        client::{self, Target},
        crd,
        discovery::Discovery,
        events::Publisher,
    },
    duration::GoDuration,
    engine::{
        config::Config,
        controller::{self, Shared},
        handler::Runtime,
    },
    exit::Exit,
    object::Key,
    shutdown::Signals,
    supervise::{Group, GroupError},
};

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    config: ConfigFiles,
    /// Kubeconfig; handlers get it as KUBECONFIG. Default: $KUBECONFIG, ~/.kube/config, or the pod's service account
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Work only in this namespace; may be given several times. Default: all
    #[arg(short, long = "namespace", value_name = "NAMESPACE", value_parser = namespace)]
    namespaces: Vec<String>,
    /// Work only on this object
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = object)]
    only: Option<Key>,
    /// How long handlers may go on after the first signal, before they are ended
    #[arg(long, value_name = "DURATION", default_value = "25s")]
    drain_timeout: GoDuration,
}

pub(super) fn namespace(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || text.len() > 63 || !text.chars().all(good) {
        return Err("a namespace has lower-case letters, digits and `-` only".to_owned());
    }
    Ok(text.to_owned())
}

fn object(text: &str) -> Result<Key, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(Key { namespace: Some(namespace.to_owned()), name: name.to_owned() })
        }
        _ => Err("write NAMESPACE/NAME".to_owned()),
    }
}

pub(super) fn main(args: &RunArgs) -> anyhow::Result<Exit> {
    let loaded = match args.config.load() {
        Ok(loaded) => loaded,
        Err(diagnostics) => {
            report::note(&diagnostics.to_string());
            return Ok(Exit::Failed);
        }
    };
    if !loaded.warnings.0.is_empty() {
        report::note(&loaded.warnings.to_string());
    }
    world::runtime()?.block_on(serve(args, loaded.config))
}

async fn serve(args: &RunArgs, config: Config) -> anyhow::Result<Exit> {
    let signals = Signals::install().context("failed to listen for signals")?;
    let stop = CancellationToken::new();
    let (shared, end_handlers) = connect(args).await?;
    let work = async {
        tokio::select! {
            () = register(&shared, &config) => {}
            () = stop.cancelled() => return Ok(()),
        }
        let mut group = Group::<Infallible>::new(stop.clone());
        for entry in &config.entries {
            group.start("a controller", controller::run(Arc::clone(entry), shared.clone(), stop.clone()));
        }
        if config.entries.is_empty() {
            tracing::warn!("the config has no entries; nothing to do");
            stop.cancelled().await;
        }
        let drained = group.join();
        let patience = async {
            stop.cancelled().await;
            tokio::time::sleep(args.drain_timeout.0).await;
            tracing::warn!("handlers are still running after {}; ending them", args.drain_timeout);
            end_handlers.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            result = drained => result,
            () = patience => Ok(()),
        }
    };
    let (result, signal): (Option<Result<(), GroupError<Infallible>>>, _) =
        signals.drain(stop.clone(), work).await;
    match (result, signal) {
        (Some(Err(error)), _) => Err(error.into()),
        // A clean drain on request is a success, as service managers expect.
        (Some(Ok(())), _) => Ok(Exit::Done),
        (None, signal) => Ok(signal.unwrap_or(Exit::Failed)),
    }
}

async fn connect(args: &RunArgs) -> anyhow::Result<(Shared, CancellationToken)> {
    let mut env = world::environment();
    let kubeconfig = args.kubeconfig.as_ref().map(world::absolute).transpose()?;
    if let Some(file) = &kubeconfig {
        env.insert("KUBECONFIG".into(), file.clone().into_os_string());
    }
    let connection = client::connect(&Target { kubeconfig, context: None }).await?;
    let server =
        connection.kubeconfig.clusters.first().and_then(|named| named.cluster.as_ref()?.server.clone());
    let scope = match (&args.only, args.namespaces.as_slice()) {
        (Some(only), _) => format!("only {only}"),
        (None, []) => "all".to_owned(),
        (None, some) => some.join(", "),
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        cluster = server.unwrap_or_default(),
        namespaces = scope,
        "starting"
    );
    let discovery = Discovery::new(connection.client.clone());
    let end_handlers = CancellationToken::new();
    let instance = env
        .get(&OsString::from("HOSTNAME"))
        .map_or_else(|| format!("pid-{}", std::process::id()), |name| name.to_string_lossy().into_owned());
    let shared = Shared {
        caches: Caches::new(discovery.clone()),
        discovery,
        writer: Writer::new(connection.client.clone()),
        events: Arc::new(Publisher::new(connection.client, instance)),
        handlers: Runtime { guard: world::guard()?, env, stop: end_handlers.clone() },
        clock: Clock::System,
        namespaces: args.namespaces.clone(),
        only: args.only.clone(),
    };
    Ok((shared, end_handlers))
}

/// How long to wait before the next try, when the API server does not take a CRD.
const REGISTER_PAUSE: Duration = Duration::from_secs(2);

/// Registers the config's CRDs. Waits for an API server that is not there yet, and leaves alone what it may not write:
/// the watches wait for kinds that are missing.
async fn register(shared: &Shared, config: &Config) {
    for definition in &config.crds {
        while let Err(error) =
            crd::register(shared.discovery.client(), &definition.manifest, env!("CARGO_PKG_VERSION")).await
        {
            if error.is_forbidden() {
                tracing::warn!(crd = definition.source, "{error}; going on with what is registered");
                break;
            }
            tracing::warn!(crd = definition.source, "{error}; trying again");
            tokio::time::sleep(REGISTER_PAUSE).await;
        }
    }
}
