//! A real control plane on this machine: etcd, kube-apiserver and kube-controller-manager, fresh and private.
//!
//! It needs no root, no network but the loopback, and one free port. It is gone with the process that started it,
//! however that ends: its servers run under guards, and the shell around etcd removes the folder when its guard
//! tells it to end. Only when the guards themselves are killed, say because a container is torn down, the folder
//! `helmfile-operator-plane-*` stays in the temporary folder of the system.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    net::TcpListener,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use helmfile_operator::{
    cluster::client::{Target, connect},
    process::Command,
};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
    runtime::wait::{await_condition, conditions},
};
use rcgen::KeyPair;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::{Mutex, OnceCell};

use super::{
    certificates::{Authority, Identity},
    processes,
    server::Server,
    tools::Tools,
    wait,
};

/// A control plane that this process owns.
#[derive(Debug)]
pub struct ControlPlane {
    tools: Tools,
    dir: PathBuf,
    kubeconfig: PathBuf,
    port: u16,
    /// These two are behind locks, so that an outage can be made while others hold the plane.
    etcd: Mutex<Option<Server>>,
    api_server: Mutex<Option<Server>>,
    controller_manager: Server,
}

/// How long a server may take to become ready. Three seconds is usual; a busy machine may need more.
const START_DEADLINE: Duration = Duration::from_mins(1);
/// How long the shell around etcd may take to remove the folder. The others are killed at once: an API server drains
/// for seconds, and nobody will read what it saves.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Cluster addresses; the first one is the API server's.
const SERVICE_RANGE: &str = "10.96.0.0/16";
const SERVER_NAMES: [&str; 7] = [
    "localhost",
    "127.0.0.1",
    "10.96.0.1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];
/// Where etcd listens: a socket in the plane's folder, so that nobody else can take it or talk to it. etcd wants a
/// port in the name.
const ETCD: &str = "unix://etcd:0";
/// Runs etcd and, when told to end, kills it and removes the folder given first. Left alone, etcd would wait for the
/// API server to hang up. It waits twice, since the signal ends the first wait.
const RUN_ETCD: &str = r#"dir=$1; shift; trap 'told=yes; kill -KILL "$etcd"' TERM
"$@" & etcd=$!; wait; wait; [ -z "$told" ] || rm -rf "$dir""#;

impl ControlPlane {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// When a server ends or does not become ready; with the end of its log.
    pub async fn start(tools: &Tools) -> anyhow::Result<Self> {
        // The API server cannot choose a free port itself, and between our choice and its start another process may
        // take the port. Then, and only then, another port is tried.
        let mut tries = 0;
        loop {
            let outcome = Self::start_once(tools).await;
            tries += 1;
            match &outcome {
                Err(error) if tries < 5 && format!("{error:#}").contains("address already in use") => {}
                _ => return outcome,
            }
        }
    }

    async fn start_once(tools: &Tools) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr())?.port();
        let folder = tempfile::Builder::new().prefix("helmfile-operator-plane-").tempdir()?;
        let dir = folder.path().to_owned();
        write_credentials(&dir, port)?;
        let etcd = start_etcd(tools, &dir)?;
        // From here on the folder goes with etcd.
        let _etcd_removes_it = folder.keep();
        let mut api_server = start_api_server(tools, &dir, port)?;
        // It gives up when the API server is not there within ten seconds, which a busy machine can take.
        let target = Target { kubeconfig: Some(dir.join("kubeconfig")), context: None };
        let client = connect(&target).await?.client;
        tokio::select! {
            answered = answers(&client) => answered?,
            error = api_server.ended() => return Err(error),
        }
        let controller_manager = start_controller_manager(tools, &dir)?;
        let mut plane = Self {
            tools: tools.clone(),
            kubeconfig: dir.join("kubeconfig"),
            dir,
            port,
            etcd: Mutex::new(Some(etcd)),
            api_server: Mutex::new(Some(api_server)),
            controller_manager,
        };
        if let Err(error) = plane.becomes_ready().await {
            plane.stop().await;
            return Err(error);
        }
        Ok(plane)
    }

    async fn becomes_ready(&mut self) -> anyhow::Result<()> {
        let client = self.client().await;
        let ready = serves(&client);
        let ended = async |server: &mut Mutex<Option<Server>>| match server.get_mut() {
            Some(server) => server.ended().await,
            None => std::future::pending().await,
        };
        tokio::select! {
            ready = ready => ready,
            error = ended(&mut self.etcd) => Err(error),
            error = ended(&mut self.api_server) => Err(error),
            error = self.controller_manager.ended() => Err(error),
        }
    }

    /// Ends everything and removes the folder.
    pub async fn stop(self) {
        let api_server = async {
            if let Some(server) = self.api_server.into_inner() {
                server.stop(Duration::ZERO).await;
            }
        };
        tokio::join!(self.controller_manager.stop(Duration::ZERO), api_server);
        if let Some(etcd) = self.etcd.into_inner() {
            etcd.stop(STOP_GRACE).await;
        }
        let _etcd_was_killed = fs::remove_dir_all(&self.dir);
    }

    /// Takes the API server away, at once, as an outage does.
    pub async fn stop_api_server(&self) {
        if let Some(server) = self.api_server.lock().await.take() {
            server.stop(Duration::ZERO).await;
        }
    }

    /// Brings it back, with the same address and certificates, and waits until it is ready.
    pub async fn start_api_server(&self) -> anyhow::Result<()> {
        let mut api_server = self.api_server.lock().await;
        ensure!(api_server.is_none(), "the API server runs");
        let server = api_server.insert(start_api_server(&self.tools, &self.dir, self.port)?);
        let client = self.client().await;
        tokio::select! {
            ready = serves(&client) => ready,
            error = server.ended() => Err(error),
        }
    }

    /// Takes etcd away, at once, as the end of its machine does. Its data stay.
    pub async fn stop_etcd(&self) {
        if let Some(mut etcd) = self.etcd.lock().await.take() {
            // Only etcd itself: the shell around it ends by itself then, and removes the folder only when it is told to.
            let shells =
                etcd.running.guard_pid().and_then(|guard| i32::try_from(guard).ok()).map(processes::children);
            for pid in shells.into_iter().flatten().flat_map(processes::children).filter_map(Pid::from_raw) {
                kill_process(pid, Signal::KILL).unwrap();
            }
            etcd.ended().await;
        }
    }

    /// Brings it back, with its data, and waits until the API server is ready again.
    pub async fn start_etcd(&self) -> anyhow::Result<()> {
        let mut etcd = self.etcd.lock().await;
        ensure!(etcd.is_none(), "etcd runs");
        let server = etcd.insert(start_etcd(&self.tools, &self.dir)?);
        let client = self.client().await;
        tokio::select! {
            ready = serves(&client) => ready,
            error = server.ended() => Err(error),
        }
    }

    /// The folder with its data, certificates and logs. It goes with the plane.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the API server listens.
    pub fn url(&self) -> String {
        url(self.port)
    }

    /// A kubeconfig of somebody who may do everything.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The real programs that this plane is made of.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// A client with that kubeconfig. It belongs to the calling test's runtime, so each test makes its own.
    pub async fn client(&self) -> Client {
        connect(&Target { kubeconfig: Some(self.kubeconfig.clone()), context: None }).await.unwrap().client
    }

    /// A namespace that nobody else uses, ready for pods: with its service account.
    pub async fn namespace(&self, prefix: &str) -> String {
        let client = self.client().await;
        let metadata = ObjectMeta { generate_name: Some(format!("{prefix}-")), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        let created = Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        let name = created.metadata.name.unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(client, &name);
        let account = await_condition(accounts, "default", conditions::is_created());
        let in_time = tokio::time::timeout(START_DEADLINE, account).await;
        in_time.unwrap_or_else(|_| panic!("the namespace `{name}` got no service account")).unwrap();
        name
    }
}

/// The control plane that all tests of this binary share; each works in a namespace of its own.
///
/// # Panics
/// When it does not start.
pub async fn shared() -> &'static ControlPlane {
    // A static is never dropped, and needs none of the runtimes that the tests bring: all it holds are the ends of the
    // pipes to the guards. The kernel closes them when this process ends, and that ends the plane.
    static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
    SHARED.get_or_init(async || ControlPlane::start(Tools::find().await.unwrap()).await.unwrap()).await
}

/// Waits until the plane is ready for users.
async fn serves(client: &Client) -> anyhow::Result<()> {
    let ready = wait::poll_until(START_DEADLINE, async || {
        is_ready(client).await.map_err(|error| format!("{error:#}"))
    });
    ready.await.map_err(|last| anyhow::anyhow!("the control plane did not become ready: {last}"))
}

/// Waits until the API server answers.
async fn answers(client: &Client) -> anyhow::Result<()> {
    let ready = wait::poll_until(START_DEADLINE, async || {
        is_answering(client).await.map_err(|error| format!("{error:#}"))
    });
    ready.await.map_err(|last| anyhow::anyhow!("the API server did not become ready: {last}"))
}

async fn is_answering(client: &Client) -> anyhow::Result<()> {
    client.request_text(hyper::Request::get("/readyz").body(Vec::new())?).await.context("/readyz")?;
    Ok(())
}

async fn is_ready(client: &Client) -> anyhow::Result<()> {
    is_answering(client).await?;
    Api::<Namespace>::all(client.clone()).get("default").await?;
    Api::<ServiceAccount>::namespaced(client.clone(), "default").get("default").await?;
    Ok(())
}

fn url(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

fn write_credentials(dir: &Path, port: u16) -> anyhow::Result<()> {
    let authority = Authority::new()?;
    let server = authority.server(&SERVER_NAMES)?;
    let write_identity = |name: &str, identity: &Identity| {
        write_private(&dir.join(format!("{name}.crt")), &identity.certificate)?;
        write_private(&dir.join(format!("{name}.key")), &identity.key)
    };
    write_identity("server", &server)?;
    write_private(&dir.join("ca.crt"), authority.pem())?;
    let service_account = KeyPair::generate()?;
    write_private(&dir.join("service-account.key"), &service_account.serialize_pem())?;
    write_private(&dir.join("service-account.pub"), &service_account.public_key_pem())?;
    let url = url(port);
    write_private(&dir.join("kubeconfig"), &authority.kubeconfig(&url, "admin", Some("system:masters"))?)?;
    let controller_manager = authority.kubeconfig(&url, "system:kube-controller-manager", None)?;
    write_private(&dir.join("controller-manager.kubeconfig"), &controller_manager)
}

/// For keys; and clients warn about a kubeconfig that others can read.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("failed to write `{}`", path.display()))
}

fn start_etcd(tools: &Tools, dir: &Path) -> anyhow::Result<Server> {
    let command = Command::new("/bin/sh", dir).envs(tools.environment(dir)).args(["-c", RUN_ETCD, "sh"]);
    // The peer address is of no use to a single member, but etcd insists on one; it takes any free port.
    let command = command.args([dir.as_os_str(), tools.path("etcd").as_os_str()]).args([
        format!("--data-dir={}", dir.join("etcd.data").display()),
        "--unsafe-no-fsync".to_owned(),
        // A single member elects itself when these are over: a second by default.
        "--heartbeat-interval=10".to_owned(),
        "--election-timeout=100".to_owned(),
        format!("--listen-client-urls={ETCD}"),
        "--advertise-client-urls=http://localhost:0".to_owned(),
        "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
        "--initial-advertise-peer-urls=http://127.0.0.1:0".to_owned(),
        "--initial-cluster=default=http://127.0.0.1:0".to_owned(),
    ]);
    Server::start("etcd", &command, dir.join("etcd.log"))
}

fn start_api_server(tools: &Tools, dir: &Path, port: u16) -> anyhow::Result<Server> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", dir.join(name).display());
    let command = Command::new(tools.path("kube-apiserver"), dir).envs(tools.environment(dir)).args([
        format!("--etcd-servers={ETCD}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        file("tls-cert-file", "server.crt"),
        file("tls-private-key-file", "server.key"),
        file("client-ca-file", "ca.crt"),
        file("service-account-key-file", "service-account.pub"),
        file("service-account-signing-key-file", "service-account.key"),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--allow-privileged".to_owned(),
        // A loopback address cannot be an endpoint; pods that need the API server need a real node anyway.
        "--endpoint-reconciler-type=none".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
    ]);
    Server::start("kube-apiserver", &command, dir.join("kube-apiserver.log"))
}

fn start_controller_manager(tools: &Tools, dir: &Path) -> anyhow::Result<Server> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", dir.join(name).display());
    let command =
        Command::new(tools.path("kube-controller-manager"), dir).envs(tools.environment(dir)).args([
            file("kubeconfig", "controller-manager.kubeconfig"),
            file("service-account-private-key-file", "service-account.key"),
            file("root-ca-file", "ca.crt"),
            "--use-service-account-credentials".to_owned(),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            // Its start is a burst of calls; the default limits stretch that to five seconds.
            "--kube-api-qps=1000".to_owned(),
            "--kube-api-burst=1000".to_owned(),
        ]);
    Server::start("kube-controller-manager", &command, dir.join("kube-controller-manager.log"))
}
