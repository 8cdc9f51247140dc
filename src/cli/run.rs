//! `run`: the controllers of a config.

use std::{convert::Infallible, ffi::OsString, net::Ipv4Addr, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use clap::Args;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc},
};
use tokio_util::sync::CancellationToken;

use super::{
    files::ConfigFiles,
    reload::{CONTROLLERS, Reloader},
    report, world,
};
use crate::{
    clock::Clock,
    cluster::{
        apply::Writer,
        cache::Caches,
        client::{self, Target},
        discovery::Discovery,
        events::Publisher,
    },
    duration::GoDuration,
    engine::{
        admin::{self, Address, DEFAULT_PORT, Readiness, Sources},
        config::Loaded,
        controller::{self, Directory, Fleet, Inspector, Shared},
        handler::{HttpClients, Runtime},
        record::Journal,
    },
    exit::Exit,
    object::Key,
    shutdown::Signals,
    supervise::{Group, GroupError},
    telemetry::metrics::Metrics,
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
    /// How many objects may be handled at once, in all entries together
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    max_concurrency: u16,
    /// Where the admin server listens (/healthz, /readyz, /metrics, and for this machine /debug/whitebox): `:PORT`,
    /// `IP:PORT` or `off` [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDRESS", env = "HELMFILE_OPERATOR_ADMIN")]
    admin: Option<Address>,
    /// Take the finalizers of the config's entries off all objects, and end: for the time before the program is removed
    #[arg(long)]
    remove_finalizers: bool,
    /// Put no finalizers on objects and take none off, since another program does: their handlers run for the objects that
    /// are being deleted, whoever holds them
    #[arg(long, conflicts_with = "remove_finalizers")]
    leave_finalizers: bool,
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

pub(super) fn main(args: RunArgs) -> anyhow::Result<Exit> {
    let loaded = match args.config.load() {
        Ok(loaded) => loaded,
        Err(error) => {
            report::note(&error.to_string());
            return Ok(Exit::Failed);
        }
    };
    if !loaded.warnings.0.is_empty() {
        report::note(&loaded.warnings.to_string());
    }
    world::runtime()?.block_on(serve(args, loaded))
}

async fn serve(args: RunArgs, loaded: Loaded) -> anyhow::Result<Exit> {
    let signals = Signals::install().context("failed to listen for signals")?;
    let stop = CancellationToken::new();
    let (shared, end_handlers) = connect(&args).await?;
    if args.remove_finalizers {
        controller::remove_finalizers(&loaded.config, &shared).await;
        return Ok(Exit::Done);
    }
    let listener = listen(&args).await?;
    let readiness = Readiness::default();
    let directory = Directory::default();
    let sources = sources(&shared, &directory, &readiness);
    let drain_timeout = args.drain_timeout;
    let reloader = Reloader::new(args.config, Arc::clone(&shared), readiness.clone(), &shared.handlers.env);
    let reloader = reloader.context("failed to listen for SIGHUP")?;
    let work = async {
        readiness.missing(CONTROLLERS, "they wait for the CustomResourceDefinitions of the config");
        let mut group = Group::<Infallible>::new(stop.clone());
        let fleet = Fleet::new((*shared).clone(), directory);
        let (tell, configs) = mpsc::channel(1);
        let until = stop.clone();
        group.start("the controllers", async move {
            fleet.run(configs, until).await;
            Ok(())
        });
        group.start("hot reload", async move {
            reloader.run(loaded, tell).await;
            Ok(())
        });
        let drained = group.join();
        let patience = async {
            stop.cancelled().await;
            readiness.missing(CONTROLLERS, "stopping");
            tokio::time::sleep(drain_timeout.0).await;
            tracing::warn!("handlers are still running after {drain_timeout}; ending them");
            end_handlers.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            result = drained => result,
            () = patience => Ok(()),
        }
    };
    let drained = signals.drain(stop.clone(), work);
    let (result, signal): (Option<Result<(), GroupError<Infallible>>>, _) = match listener {
        // Until the controllers have drained, somebody wants to know how they are.
        Some(listener) => tokio::select! {
            done = drained => done,
            () = admin::serve(listener, sources, CancellationToken::new()) => (Some(Ok(())), None),
        },
        None => drained.await,
    };
    match (result, signal) {
        (Some(Err(error)), _) => Err(error.into()),
        // A clean drain on request is a success, as service managers expect.
        (Some(Ok(())), _) => Ok(Exit::Done),
        (None, signal) => Ok(signal.unwrap_or(Exit::Failed)),
    }
}

/// The admin server's socket. Another operator on this machine may have the port that nobody chose.
async fn listen(args: &RunArgs) -> anyhow::Result<Option<TcpListener>> {
    let address = args.admin.unwrap_or(Address::One((Ipv4Addr::LOCALHOST, DEFAULT_PORT).into()));
    match address.listen().await {
        Ok(Some(listener)) => {
            let address = listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
            tracing::info!(address, "the admin server listens");
            Ok(Some(listener))
        }
        Ok(None) => Ok(None),
        Err(error) if args.admin.is_none() => {
            tracing::warn!(
                "no admin server, so `explain` has nobody to ask: port {DEFAULT_PORT}: {error}; see --admin"
            );
            Ok(None)
        }
        Err(error) => Err(error).context("the admin server can't listen; see --admin"),
    }
}

fn sources(shared: &Shared, directory: &Directory, readiness: &Readiness) -> Arc<Sources> {
    let (caches, discovery) = (shared.caches.clone(), shared.discovery.clone());
    Arc::new(Sources {
        insight: Arc::new(Inspector::new(directory.clone(), caches, discovery)),
        journal: shared.journal.clone(),
        metrics: shared.metrics.clone(),
        readiness: readiness.clone(),
        clock: shared.clock,
        version: env!("CARGO_PKG_VERSION"),
        expose_debug: false,
    })
}

async fn connect(args: &RunArgs) -> anyhow::Result<(Arc<Shared>, CancellationToken)> {
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
        handlers: Runtime {
            guard: world::guard()?,
            env,
            stop: end_handlers.clone(),
            http: HttpClients::default(),
        },
        clock: Clock::System,
        namespaces: args.namespaces.clone(),
        only: args.only.clone(),
        leave_finalizers: args.leave_finalizers,
        places: Arc::new(Semaphore::new(args.max_concurrency.into())),
        journal: Journal::default(),
        metrics: Metrics::new(Clock::System.now(), env!("CARGO_PKG_VERSION")),
    };
    Ok((Arc::new(shared), end_handlers))
}
