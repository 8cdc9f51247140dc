//! `apply`: delivers one helmfile, as a handler of the engine or by itself.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::{self, IsTerminal as _, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use clap::ValueEnum;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{report, world};
use crate::{
    causes,
    clock::Clock,
    cluster::client::Target,
    contract::{State, TriggerType},
    digest,
    duration::GoDuration,
    environment::Environment,
    exit::Exit,
    helmfile::{
        api::{self, HelmfileSpec, HelmfileStatus, names},
        applier::{self, Answer, Applier, Memory, Observer, Said, Stopped, Subject, Verdict},
        fetch::{Fetcher, Locator},
    },
    shutdown::Signals,
};

/// Deliver one helmfile.
///
/// Without --source it is a handler: it reads the state of a Helmfile object on standard input and prints what to write
/// back. With --source it needs no object.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct ApplyArgs {
    /// Where the helmfile comes from: a Git repository or a folder
    #[arg(long)]
    source: Option<String>,
    /// Branch, tag or commit of the source
    #[arg(long, requires = "source")]
    version: Option<String>,
    /// The helmfile inside the source
    #[arg(long, short, requires = "source")]
    file: Option<String>,
    /// The environment of the helmfile
    #[arg(long, short, requires = "source")]
    environment: Option<String>,
    /// A file of values on this machine; can be repeated, a later one is laid over an earlier one
    #[arg(long, value_name = "FILE", requires = "source")]
    values: Vec<PathBuf>,
    /// Only releases with these labels; can be repeated
    #[arg(long, short = 'l', value_name = "LABELS", requires = "source")]
    selector: Vec<String>,
    /// Namespace of releases that name none [default: that of the kubeconfig]
    #[arg(long, short, requires = "source")]
    namespace: Option<String>,
    /// One pass and no more; this is the default
    #[arg(long, requires = "source", conflicts_with = "interval")]
    once: bool,
    /// Keep delivering, and ask the source for changes this often
    #[arg(long, value_name = "DURATION", requires = "source")]
    interval: Option<GoDuration>,
    /// With --interval: run helmfile this often though nothing has changed [default: 10m]
    #[arg(long, value_name = "DURATION", requires = "interval")]
    refresh_interval: Option<GoDuration>,
    /// How long one run of helmfile may take [default: 10m]
    #[arg(long, value_name = "DURATION", requires = "source")]
    timeout: Option<GoDuration>,
    /// Exit with 2 when something was changed
    #[arg(long, requires = "source", conflicts_with = "interval")]
    detailed_exitcode: bool,
    /// Kubeconfig [default: `$KUBECONFIG`, `~/.kube/config` or the pod's service account]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Folder for sources and downloads [default: `~/.cache/helmfile-operator`]
    #[arg(long, value_name = "FOLDER", env = "HELMFILE_OPERATOR_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// Folder in which to remember what was delivered, so that the next run knows what has changed and what may be pruned
    #[arg(long, value_name = "FOLDER", requires = "source", conflicts_with = "state_configmap")]
    state: Option<PathBuf>,
    /// The same in a ConfigMap of --namespace
    #[arg(long, value_name = "NAME", requires_all = ["source", "namespace"])]
    state_configmap: Option<String>,
    /// Uninstall releases that have left the helmfile; needs --state or --state-configmap
    #[arg(long, requires = "source")]
    prune: bool,
    /// Don't wait for the objects of the releases to be healthy
    #[arg(long, requires = "source")]
    no_wait: bool,
    /// How to print the end
    #[arg(long, short, value_enum, default_value_t, requires = "source")]
    output: Output,
    /// How many helm processes may run at once on this machine [default: two for each processor]
    #[arg(long, value_name = "NUMBER", env = "HELMFILE_OPERATOR_HELM_PROCESSES")]
    helm_processes: Option<usize>,
    /// Folder with ssh keys and `known_hosts` for Git over ssh [default: `~/.ssh`]
    #[arg(long, value_name = "FOLDER", env = "HELMFILE_OPERATOR_SSH_DIR")]
    ssh_dir: Option<PathBuf>,
}

/// How long fetching a source may take, and how long a loop pauses that has nothing to wait for.
const FETCH_TIMEOUT: Duration = Duration::from_mins(5);

/// Runs the command.
pub(super) fn main(args: &ApplyArgs) -> anyhow::Result<Exit> {
    if args.source.is_none() && io::stdin().is_terminal() {
        report::note("give --source, or the state of a Helmfile on standard input");
        return Ok(Exit::Usage);
    }
    if args.prune && args.state.is_none() && args.state_configmap.is_none() {
        report::note(
            "--prune needs --state or --state-configmap: only what was delivered before can be told from what was not",
        );
        return Ok(Exit::Usage);
    }
    let work = Work::of(args)?;
    world::runtime()?.block_on(async {
        let stop = CancellationToken::new();
        let signals = Signals::install().context("failed to listen for signals")?;
        match signals.drain(stop.clone(), Box::pin(work.run(&stop))).await {
            // What was finished in spite of the signal counts.
            (Some(Ok(exit)), _) => Ok(exit),
            (_, Some(signal)) => Ok(signal),
            (Some(Err(error)), None) => Err(error),
            (None, None) => Ok(Exit::Failed),
        }
    })
}

/// What to do, all of it read from the command line, the environment and standard input.
struct Work {
    applier: Applier,
    subject: Subject,
    observer: Observer,
    mode: Mode,
    output: Output,
}

/// How the end of a run without an object is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A sentence.
    #[default]
    Text,
    /// `{"verdict": …, "status": …}`, on one line.
    Json,
}

enum Mode {
    Handler,
    Once { detailed: bool },
    Forever,
}

impl Work {
    fn of(args: &ApplyArgs) -> anyhow::Result<Self> {
        let env = world::environment();
        let dry_run = env.get(OsStr::new("DRY_RUN")).is_some_and(|value| value == "true");
        if args.source.is_none() && dry_run {
            bail!(
                "a delivery can't be rendered: running it changes the cluster; `helmfile diff` shows what it would do"
            );
        }
        let folder =
            |name: &str| env.get(OsStr::new(name)).filter(|path| !path.is_empty()).map(PathBuf::from);
        let caches = || folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
        let cache = args.cache_dir.clone().or_else(|| Some(caches()?.join("helmfile-operator")));
        let cache =
            cache.ok_or_else(|| anyhow!("found no place for a cache: give --cache-dir, or set HOME"))?;
        let cache = world::absolute(&cache)?;
        let ssh = ssh(args, folder("HOME"))?;
        let here = std::env::current_dir().context("failed to find the current folder")?;
        let guard = world::guard()?;
        let (mode, subject, progress) = match (&args.source, args.interval) {
            (None, _) => (Mode::Handler, handed_over(here)?, folder("HOOK_PROGRESS")),
            (Some(_), None) => (Mode::Once { detailed: args.detailed_exitcode }, ordered(args, here)?, None),
            (Some(_), Some(_)) => (Mode::Forever, ordered(args, here)?, None),
        };
        let fetcher = Fetcher {
            cache: cache.join("sources"),
            guard: guard.clone(),
            env: env.clone(),
            ssh,
            timeout: FETCH_TIMEOUT,
        };
        let target = Target { kubeconfig: args.kubeconfig.clone(), context: args.context.clone() };
        let helm_processes = args
            .helm_processes
            .unwrap_or_else(|| 2 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
        let identity = identity(&env, &cache);
        let applier =
            Applier { target, fetcher, guard, cache, identity, helm_processes, env, clock: Clock::System };
        Ok(Self {
            output: args.output,
            applier,
            subject,
            observer: Observer::new(progress, teller(matches!(mode, Mode::Handler))),
            mode,
        })
    }

    async fn run(mut self, stop: &CancellationToken) -> anyhow::Result<Exit> {
        if !matches!(self.mode, Mode::Handler) {
            self.subject.status = self.applier.recall(&self.subject.memory).await?;
        }
        if let Mode::Once { .. } = self.mode {
            // Whoever runs it wants it tried, however often it has failed.
            self.subject.status.last_attempt_time = None;
        }
        let mut changed = false;
        let mut owed = false;
        loop {
            let answer = self.applier.pass(&self.subject, &mut self.observer, stop).await?;
            if let Mode::Handler = self.mode {
                return report::print(&format!("{}\n", answer.reply()));
            }
            changed |= answer.verdict == Verdict::Changed;
            owed |= answer.status_changed;
            if owed {
                match self.applier.remember(&self.subject, &answer.status).await {
                    Ok(()) => owed = false,
                    // The next pass tries again.
                    Err(error) if matches!(self.mode, Mode::Forever) => {
                        report::note(&causes::in_one_line(&error));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            // Delivered, and not healthy yet, or delivered by somebody else just now: whoever waits for the end waits for that.
            let elsewhere = answer.verdict == Verdict::BackingOff;
            let under_way = elsewhere || api::is_true(&answer.status.conditions, names::RECONCILING);
            match self.mode {
                Mode::Once { detailed } if !under_way => return self.conclude(&answer, detailed && changed),
                Mode::Forever if answer.status_changed => self.say(&answer)?,
                _ => {}
            }
            self.subject.status = answer.status;
            tokio::select! {
                () = stop.cancelled() => return Err(Stopped.into()),
                () = tokio::time::sleep(answer.again.unwrap_or(FETCH_TIMEOUT)) => {}
            }
            if elsewhere {
                self.subject.status = self.applier.recall(&self.subject.memory).await?;
            }
        }
    }

    fn conclude(&self, answer: &Answer, changed: bool) -> anyhow::Result<Exit> {
        // A failure is in the log already.
        let ready = api::is_true(&answer.status.conditions, names::READY);
        if ready || self.output == Output::Json {
            self.say(answer)?;
        } else if answer.verdict != Verdict::Failed {
            report::note(&message(answer));
        }
        Ok(match ready {
            false => Exit::Failed,
            true if changed => Exit::Changed,
            true => Exit::Done,
        })
    }

    fn say(&self, answer: &Answer) -> anyhow::Result<()> {
        let text = match self.output {
            Output::Text => message(answer),
            Output::Json => {
                json!({"verdict": format!("{:?}", answer.verdict), "status": answer.status}).to_string()
            }
        };
        report::print(&format!("{text}\n")).map(drop)
    }
}

/// Who we are, for a Lease: the pod or the machine, and the cache, which has a lock of its own.
fn identity(env: &Environment, cache: &Path) -> String {
    let text = |name: &str| {
        env.get(OsStr::new(name)).and_then(|value| value.to_str()).filter(|text| !text.is_empty())
    };
    let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    let place = match (text("POD_NAMESPACE"), text("POD_NAME")) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        _ => text("HOSTNAME").map_or_else(host, str::to_owned),
    };
    let cache: String = digest::sha256_hex(cache.as_os_str().as_encoded_bytes()).chars().take(8).collect();
    format!("{place}_{cache}")
}

/// The object that the engine hands over.
fn handed_over(base: PathBuf) -> anyhow::Result<Subject> {
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text).context("failed to read standard input")?;
    if text.trim_ascii().is_empty() {
        bail!("give --source, or the state of a Helmfile on standard input");
    }
    let state: State =
        serde_json::from_slice(&text).context("standard input is not the state of a handler")?;
    let touched =
        state.triggers.into_iter().filter(|trigger| trigger.kind_of == TriggerType::Watch).collect();
    Ok(Subject { touched, ..Subject::of(&state.object, base) })
}

/// Says lines on stderr. As a handler in the way of the contract, by which the engine knows how much they matter; the tools'
/// own output is for those who look closely then.
fn teller(handler: bool) -> impl FnMut(Said, &str) + Send {
    move |said, line| match said {
        Said::Tool if handler => report::note(&format!("debug: {line}")),
        Said::Failure if handler => report::note(&format!("error: {line}")),
        Said::Tool | Said::Note | Said::Failure => report::note(line),
    }
}

/// The folder with ssh keys. Git is started in other folders than ours.
fn ssh(args: &ApplyArgs, home: Option<PathBuf>) -> anyhow::Result<Option<PathBuf>> {
    let usual = home.map(|home| home.join(".ssh")).filter(|ssh| ssh.is_dir());
    args.ssh_dir.clone().or(usual).as_ref().map(world::absolute).transpose()
}

/// What the command line orders, given in the folder `base`. Paths that make out which delivery it is are absolute, or the
/// same words would mean another one, and other words the same one, elsewhere.
fn ordered(args: &ApplyArgs, base: PathBuf) -> anyhow::Result<Subject> {
    let absolute = |path: &PathBuf| world::absolute(&base.join(path));
    let defaults = HelmfileSpec::default();
    let spec = HelmfileSpec {
        source: args.source.clone(),
        version: args.version.clone(),
        file: args.file.clone(),
        environment: args.environment.clone(),
        selector: args.selector.clone(),
        interval: args.interval.unwrap_or(defaults.interval),
        refresh_interval: args.refresh_interval.unwrap_or(defaults.refresh_interval),
        timeout: args.timeout.unwrap_or(defaults.timeout),
        prune: args.prune,
        wait: !args.no_wait,
        ..defaults
    };
    let memory = match (&args.state, &args.state_configmap, &args.namespace) {
        (Some(folder), _, _) => Memory::Folder(absolute(folder)?),
        (None, Some(name), Some(namespace)) => {
            Memory::ConfigMap { namespace: namespace.clone(), name: name.clone() }
        }
        _ => Memory::Nothing,
    };
    let kubeconfig = args.kubeconfig.as_ref().map(absolute).transpose()?;
    let place = (&kubeconfig, &args.context, &args.namespace);
    let identity = match &memory {
        // Another version of the source is the same delivery.
        Memory::Folder(_) | Memory::ConfigMap { .. } => format!("{place:?} {memory:?}"),
        _ => {
            let text = spec.source.as_deref().unwrap_or_default();
            let source = Locator::parse(text, spec.version.as_deref(), &base);
            let source = source.map_or_else(|_| text.to_owned(), |source| source.to_string());
            format!("{place:?} {source:?} {:?} {:?}", spec.version, spec.file)
        }
    };
    Ok(Subject {
        key: applier::key(&identity),
        name: "helmfile".to_owned(),
        namespace: args.namespace.clone(),
        memory,
        generation: 1,
        annotations: BTreeMap::new(),
        deleting: false,
        spec: Ok(spec),
        status: HelmfileStatus::default(),
        touched: Vec::new(),
        base,
        values_files: args.values.clone(),
    })
}

/// What the status says, in a sentence.
fn message(answer: &Answer) -> String {
    let ready = api::get(&answer.status.conditions, names::READY);
    let text = ready.map(|ready| ready.message.clone()).unwrap_or_default();
    if answer.verdict == Verdict::Unchanged { format!("{text}, nothing changed") } else { text }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: ApplyArgs,
    }

    fn parse(line: &str) -> Result<ApplyArgs, clap::Error> {
        Line::try_parse_from(line.split(' ')).map(|line| line.args)
    }

    #[test]
    fn flags_become_a_spec() {
        let line =
            "apply --source ./x --version v1 -e prod -l a=b -l c=d --values v.yaml --interval 30s -n shop";
        let subject = ordered(&parse(line).unwrap(), "/here".into()).unwrap();
        let spec = subject.spec.unwrap();
        assert_eq!((spec.source.as_deref(), spec.version.as_deref()), (Some("./x"), Some("v1")));
        assert_eq!((spec.environment.as_deref(), spec.selector.len()), (Some("prod"), 2));
        assert_eq!(spec.interval, GoDuration::from_secs(30));
        assert_eq!(spec.timeout, HelmfileSpec::default().timeout);
        assert_eq!((subject.namespace.as_deref(), subject.values_files.len()), (Some("shop"), 1));
    }

    #[test]
    fn a_delivery_is_the_same_however_its_paths_are_written() {
        let subject =
            |line: &str, base: &str| ordered(&parse(&format!("apply {line}")).unwrap(), base.into()).unwrap();
        let key = |line: &str, base: &str| subject(line, base).key;
        for (line, other) in [
            ("--source ./x", "--source /a/x"),
            ("--source ./x --state s", "--source ./x --state /a/./s"),
            ("--source ./x --kubeconfig k", "--source ./x --kubeconfig /a/k"),
        ] {
            assert_eq!(key(line, "/a"), key(other, "/a"), "{line}");
            assert_ne!(key(line, "/a"), key(line, "/b"), "{line}");
        }
        let git = "--source git::https://h/r.git";
        assert_eq!(key(git, "/a"), key(git, "/b"));
        assert_eq!(subject("--source ./x --state s", "/a").memory, Memory::Folder("/a/s".into()));
    }

    #[test]
    fn ssh_keys_are_found_from_every_folder() {
        let found = |line: &str, home| ssh(&parse(line).unwrap(), home).unwrap();
        let here = std::env::current_dir().unwrap();
        assert_eq!(found("apply --ssh-dir ./keys", None), Some(here.join("keys")));
        let home = tempfile::tempdir().unwrap();
        assert_eq!(found("apply", Some(home.path().to_owned())), None);
        std::fs::create_dir(home.path().join(".ssh")).unwrap();
        assert_eq!(found("apply", Some(home.path().to_owned())), Some(home.path().join(".ssh")));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "apply --version v1",
            "apply --once",
            "apply --source x --once --interval 1m",
            "apply --source x --interval 1m --detailed-exitcode",
            "apply --source x --interval soon",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        parse("apply --kubeconfig k --cache-dir c").unwrap();
    }
}
