//! `test`: handlers against cases on disk, without a cluster.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use similar::TextDiff;

use super::{
    files::ConfigFiles,
    render::{document, dry_runtime},
    report, world,
};
use crate::{
    engine::{
        config::{Config, Entry, Handler},
        controller::offline::{self, Given},
        handler::Runtime,
    },
    exit::Exit,
    yaml,
};

/// Arguments of `test`.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// Folder of the cases. Each is a folder with given.yaml (the handled object first, then what else is in the
    /// cluster), expected.yaml (what `render` prints), and config.yaml where --file is not the right one
    #[arg(value_name = "DIR", default_value = "tests")]
    folder: PathBuf,
    #[command(flatten)]
    config: ConfigFiles,
    /// Write what would be written now to expected.yaml, instead of comparing
    #[arg(long)]
    update: bool,
}

const GIVEN: &str = "given.yaml";
const EXPECTED: &str = "expected.yaml";
const CONFIG: &str = "config.yaml";

pub(super) fn main(args: &TestArgs) -> anyhow::Result<Exit> {
    let cases = cases(&args.folder)?;
    // Loaded once, and only where a case needs it: each may bring its own.
    let shared = cases.iter().any(|case| !case.join(CONFIG).exists()).then(|| args.config.load());
    let shared = match shared.transpose() {
        Ok(loaded) => loaded.map(|loaded| loaded.config),
        Err(error) => {
            report::note(&error.to_string());
            return Ok(Exit::Failed);
        }
    };
    let bench = Bench { args, shared, tasks: world::runtime()?, runtime: dry_runtime()? };
    let (mut good, mut bad) = (0, 0);
    for case in &cases {
        let name = case.file_name().unwrap_or_default().to_string_lossy();
        let line = match bench.run(case) {
            Ok(verdict) => {
                good += 1;
                format!("{verdict} {name}\n")
            }
            Err(why) => {
                bad += 1;
                let why: Vec<String> = why.lines().map(|line| format!("    {line}\n")).collect();
                format!("FAILED {name}\n{}", why.concat())
            }
        };
        report::print(&line)?;
    }
    let plural = if cases.len() == 1 { "" } else { "s" };
    report::print(&format!("{} case{plural}: {good} ok, {bad} failed\n", cases.len()))?;
    Ok(if bad == 0 { Exit::Done } else { Exit::Failed })
}

/// The folders of the cases, by name.
fn cases(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read =
        || -> io::Result<Vec<PathBuf>> { fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect() };
    let mut cases = read().with_context(|| format!("failed to read the folder `{}`", folder.display()))?;
    let is_hidden =
        |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    cases.retain(|path| path.is_dir() && !is_hidden(path));
    cases.sort();
    if cases.is_empty() {
        bail!("there are no cases in `{}`: a case is a folder with {GIVEN} and {EXPECTED}", folder.display());
    }
    Ok(cases)
}

/// What all cases run with.
struct Bench<'a> {
    args: &'a TestArgs,
    shared: Option<Config>,
    tasks: tokio::runtime::Runtime,
    runtime: Runtime,
}

impl Bench<'_> {
    /// Runs one case: one word about its success, or why it failed.
    fn run(&self, case: &Path) -> Result<&'static str, String> {
        let actual = self.render(case)?;
        let file = case.join(EXPECTED);
        let expected = match fs::read_to_string(&file) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(format!("failed to read {EXPECTED}: {error}")),
        };
        if self.args.update {
            if expected.as_deref().is_some_and(|expected| is_same(expected, &actual)) {
                return Ok("ok");
            }
            fs::write(&file, actual).map_err(|error| format!("failed to write {EXPECTED}: {error}"))?;
            return Ok("updated");
        }
        let expected = expected.ok_or(format!("there is no {EXPECTED}; --update writes it"))?;
        let wanted =
            yaml::documents(&expected).map_err(|error| format!("{EXPECTED} is not YAML: {error}"))?;
        if is_same(&expected, &actual) {
            return Ok("ok");
        }
        // As we print it, so that nothing but what it says differs.
        let wanted: Vec<String> = wanted.iter().map(yaml::print).collect();
        let actual: Vec<String> =
            yaml::documents(&actual).unwrap_or_default().iter().map(yaml::print).collect();
        let (wanted, actual) = (wanted.join("---\n"), actual.join("---\n"));
        let diff = TextDiff::from_lines(&wanted, &actual);
        Err(diff.unified_diff().header(EXPECTED, "now").to_string())
    }

    /// What `render` prints for the first object, where a failure of its handler is a document like any other.
    fn render(&self, case: &Path) -> Result<String, String> {
        let own = case.join(CONFIG);
        let own = if own.exists() {
            Some(self.args.config.load_instead(&own).map_err(|error| error.to_string())?.config)
        } else {
            None
        };
        let config = own.as_ref().or(self.shared.as_ref()).ok_or(format!("there is no {CONFIG}"))?;
        let text = fs::read_to_string(case.join(GIVEN))
            .map_err(|error| format!("failed to read {GIVEN}: {error}"))?;
        let given = Given::read(&text).map_err(|error| format!("{GIVEN} is unusable: {error}"))?;
        let handled = offline::handled(config, &given, 1).map_err(|error| format!("{GIVEN}: {error}"))?;
        let mut documents = Vec::new();
        for one in &handled {
            documents.push(match self.tasks.block_on(offline::render(one, &given, &self.runtime)) {
                Ok(plan) => document(one, &plan).map_err(|error| error.to_string())?,
                Err(error) => yaml::print(&json!({"error": anywhere(&one.entry, &error.to_string())})),
            });
        }
        Ok(documents.join("---\n"))
    }
}

/// An error as it reads on every machine: with paths from the config's folder.
fn anywhere(entry: &Entry, error: &str) -> String {
    let handlers = entry.reconciler.as_ref().map(|reconciler| &reconciler.handler);
    let handlers = handlers.into_iter().chain(entry.finalizer.as_ref().map(|finalizer| &finalizer.handler));
    handlers.fold(error.to_owned(), |text, handler| match handler {
        Handler::Exec(exec) => text.replace(&format!("{}/", exec.base.display()), ""),
        Handler::Http(_) | Handler::Template(_) => text,
    })
}

/// Whether two texts say the same, whatever they look like.
fn is_same(one: &str, other: &str) -> bool {
    let read = |text: &str| -> Option<Vec<Value>> { yaml::documents(text).ok() };
    read(one).is_some_and(|one| Some(one) == read(other))
}
