//! `render`: what handlers would do for given objects, without a cluster.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{files::ConfigFiles, report, world};
use crate::{
    engine::{
        controller::{
            offline::{self, Given, Handled},
            plan::Plan,
        },
        handler::{HttpClients, Runtime},
    },
    exit::Exit,
    yaml,
};

/// Arguments of `render`.
#[derive(Debug, Args)]
pub(super) struct RenderArgs {
    #[command(flatten)]
    config: ConfigFiles,
    /// Only this one of the objects
    #[arg(long, value_name = "KIND/NAME", value_parser = object)]
    object: Option<(String, String)>,
    /// YAML file with the objects, and with others that are in the cluster; `-` is stdin. A document with the keys
    /// triggers, values, attempt or watched sets these parts of what handlers are given
    #[arg(value_name = "OBJECT.yaml")]
    objects: PathBuf,
}

fn object(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((kind.to_owned(), name.to_owned()))
        }
        _ => Err("write KIND/NAME".to_owned()),
    }
}

pub(super) fn main(args: &RenderArgs) -> anyhow::Result<Exit> {
    let loaded = match args.config.load() {
        Ok(loaded) => loaded,
        Err(error) => {
            report::note(&error.to_string());
            return Ok(Exit::Failed);
        }
    };
    let name = args.objects.display();
    let text = if args.objects.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(&args.objects)
    };
    let text = text.with_context(|| format!("failed to read `{name}`"))?;
    let given = Given::read(&text).with_context(|| format!("`{name}` is unusable"))?;
    let mut handled = offline::handled(&loaded.config, &given, given.objects.len())?;
    if let Some((kind, wanted)) = &args.object {
        let all: Vec<String> =
            handled.iter().map(|one| format!("{}/{}", one.name.gvk.kind, one.name.name)).collect();
        handled.retain(|one| one.name.gvk.kind.eq_ignore_ascii_case(kind) && one.name.name == *wanted);
        if handled.is_empty() {
            let all = all.join(", ");
            bail!("no entry handles `{kind}/{wanted}` in `{name}`; there the config handles {all}");
        }
    }
    let (tasks, runtime) = (world::runtime()?, dry_runtime()?);
    let mut documents = Vec::new();
    for one in &handled {
        let plan = tasks.block_on(offline::render(one, &given, &runtime));
        let plan = plan.with_context(|| format!("entry {} has no plan for {}", one.entry.name, one.name))?;
        documents.push(document(one, &plan)?);
    }
    report::print(&documents.join("---\n"))
}

/// What handlers run with when nothing is written.
pub(super) fn dry_runtime() -> anyhow::Result<Runtime> {
    let mut env = world::environment();
    env.insert("DRY_RUN".into(), "true".into());
    Ok(Runtime { guard: world::guard()?, env, stop: CancellationToken::new(), http: HttpClients::default() })
}

/// A plan with a comment that says whose it is.
pub(super) fn document(handled: &Handled<'_>, plan: &Plan) -> anyhow::Result<String> {
    let plan = serde_json::to_value(plan)?;
    Ok(format!("# {} by entry {}\n{}", handled.name, handled.entry.name, yaml::print(&plan)))
}
