//! `render`: what a handler would do for an object, without a cluster.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{files::ConfigFiles, report, world};
use crate::{
    engine::{
        controller::offline,
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
    /// YAML file with the object, and with other objects that are in the cluster; `-` is stdin
    #[arg(value_name = "OBJECT.yaml")]
    objects: PathBuf,
}

pub(super) fn main(args: &RenderArgs) -> anyhow::Result<Exit> {
    let loaded = args.config.load().map_err(anyhow::Error::from)?;
    let name = args.objects.display();
    let text = if args.objects.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(&args.objects)
    };
    let text = text.with_context(|| format!("failed to read `{name}`"))?;
    let objects = yaml::documents(&text).with_context(|| format!("`{name}` is not YAML"))?;
    let mut env = world::environment();
    env.insert("DRY_RUN".into(), "true".into());
    let runtime =
        Runtime { guard: world::guard()?, env, stop: CancellationToken::new(), http: HttpClients::default() };
    let rendered = world::runtime()?.block_on(offline::render(&loaded.config, &objects, &runtime))?;
    let plan = serde_json::to_value(&rendered.plan)?;
    report::print(&format!("# {} by entry {}\n{}", rendered.object, rendered.entry, yaml::print(&plan)))
}
