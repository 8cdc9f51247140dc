//! `helm diff upgrade` and `helm diff version`: this program as Helm's `diff` plugin.
//!
//! Helm starts us with its settings in the environment (`HELM_BIN`, `HELM_NAMESPACE`, `KUBECONFIG`, …). Every error exits
//! with 1, usage included: helmfile reads 2 as "changed".

use std::{
    ffi::{OsStr, OsString},
    io::{self, IsTerminal as _},
};

use anyhow::{Context as _, bail};
use tokio_util::sync::CancellationToken;

use super::{report, world};
use crate::{
    cluster::client::{Target, connect},
    environment::{self, Environment},
    exit::Exit,
    helmfile::helm::{
        cluster::Cluster,
        flags::{self, Asked},
        lay::PLUGIN_VERSION,
        plugin::{self, UpgradeArgs},
        render::Helm,
    },
    process::resolve,
    shutdown::Signals,
};

/// Arguments of the hidden subcommand `helm`. They are somebody else's command line, so clap leaves them alone.
#[derive(Debug, Clone, clap::Args)]
#[command(disable_help_flag = true, hide = true)]
pub(super) struct HelmArgs {
    /// `diff upgrade [flags] RELEASE CHART`, or `diff version`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Runs the command.
pub(super) fn main(args: &HelmArgs) -> anyhow::Result<Exit> {
    run(&args.args, world::environment())
}

fn run(args: &[OsString], env: Environment) -> anyhow::Result<Exit> {
    let words: Vec<Option<&str>> = args.iter().take(2).map(|arg| arg.to_str()).collect();
    match words[..] {
        [Some("diff"), Some("upgrade")] => match flags::parse(args.get(2..).unwrap_or_default(), &env)? {
            Asked::Help(text) => report::print(&text),
            Asked::Upgrade(asked) => upgrade(*asked, env),
        },
        [Some("diff"), Some("version")] => report::print(&format!("{PLUGIN_VERSION}\n")),
        [Some("diff"), Some(other)] => {
            bail!("there is no `helm diff {other}` here, only `upgrade` and `version`")
        }
        _ => bail!("the command is `helm diff upgrade [flags] RELEASE CHART` or `helm diff version`"),
    }
}

fn upgrade(mut asked: UpgradeArgs, env: Environment) -> anyhow::Result<Exit> {
    refuse_other_clusters(&env)?;
    asked.view.color = asked.color.unwrap_or_else(|| io::stdout().is_terminal());
    let target = Target { kubeconfig: asked.kubeconfig.clone(), context: asked.kube_context.clone() };
    let helm = helm(&asked, env)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("failed to start")?;
    let stop = CancellationToken::new();
    let work = async {
        let connection = connect(&target).await?;
        let cluster = Cluster::new(connection.client);
        let namespace = asked.namespace.as_ref().unwrap_or(&connection.namespace);
        // One release is asked for, so that there is no use in a list of all.
        cluster.forget_release(namespace, &asked.release);
        anyhow::Ok(plugin::upgrade(&asked, namespace, &helm, &cluster, &stop).await?)
    };
    let (outcome, signal) = runtime.block_on(async {
        let signals = Signals::install().context("failed to install signal handlers")?;
        anyhow::Ok(signals.drain(stop.clone(), Box::pin(work)).await)
    })?;
    if let Some(exit) = signal {
        return Ok(exit);
    }
    let outcome = outcome.context("was stopped")??;
    report::print(&outcome.text)?;
    Ok(if outcome.changed && asked.detailed_exitcode { Exit::Changed } else { Exit::Done })
}

/// The helm that has started us, for the same cluster and with the same settings.
fn helm(asked: &UpgradeArgs, mut env: Environment) -> anyhow::Result<Helm> {
    let folder = std::env::current_dir().context("failed to find the current folder")?;
    let name = env
        .get(OsStr::new("HELM_BIN"))
        .and_then(|bin| bin.to_str())
        .filter(|bin| !bin.is_empty())
        .unwrap_or("helm");
    let path = environment::path(&env);
    let program = resolve(name, path, &folder).context("failed to find helm")?;
    for name in ["HELM_PLUGIN_NAME", "HELM_PLUGIN_DIR"] {
        env.remove(OsStr::new(name));
    }
    let mut set = |name: &str, value: OsString| env.insert(name.into(), value);
    // Helm's debug output has values in it.
    set("HELM_DEBUG", "false".into());
    if let Some(file) = &asked.kubeconfig {
        set("KUBECONFIG", file.clone().into());
    }
    if let Some(context) = &asked.kube_context {
        set("HELM_KUBECONTEXT", context.into());
    }
    Ok(Helm { program, env, folder, guard: world::guard()? })
}

/// Helm can be sent elsewhere by single settings; to follow it halfway would be to compare with another cluster.
fn refuse_other_clusters(env: &Environment) -> anyhow::Result<()> {
    let set = |name: &str| {
        env.get(OsStr::new(name)).filter(|value| !value.is_empty() && value.as_os_str() != "false")
    };
    for name in [
        "HELM_KUBEAPISERVER",
        "HELM_KUBETOKEN",
        "HELM_KUBEASUSER",
        "HELM_KUBEASGROUPS",
        "HELM_KUBECAFILE",
        "HELM_KUBETLS_SERVER_NAME",
        "HELM_KUBEINSECURE_SKIP_TLS_VERIFY",
    ] {
        if set(name).is_some() {
            bail!("{name} is not supported (nor helm's flag for it): say it in the kubeconfig");
        }
    }
    match set("HELM_DRIVER").and_then(|driver| driver.to_str()) {
        None | Some("secret" | "secrets") => Ok(()),
        Some(driver) => bail!("HELM_DRIVER `{driver}` is not supported: releases are read from Secrets"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(subcommand)]
        command: Command,
    }

    #[derive(clap::Subcommand)]
    enum Command {
        Helm(HelmArgs),
    }

    #[test]
    fn clap_leaves_the_arguments_alone() {
        for args in [
            &["diff", "upgrade", "--help"][..],
            &["diff", "upgrade", "a", "--x=1", "--", "-y", "--"],
            &["--version"],
            &[],
        ] {
            let Command::Helm(parsed) =
                Program::try_parse_from(["program", "helm"].iter().chain(args)).unwrap().command;
            assert_eq!(parsed.args, args.iter().map(OsString::from).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_mistake_is_an_error_and_no_change() {
        let env = |name: &str, value: &str| Environment::from([(name.into(), value.into())]);
        for (args, env) in [
            (&["diff", "upgrade", "a"][..], Environment::new()),
            (&["diff", "upgrade", "--nonsense", "a", "b"], Environment::new()),
            (&["diff", "rollback", "a", "1"], Environment::new()),
            (&["diff"], Environment::new()),
            (&[], Environment::new()),
            (&["diff", "upgrade", "a", "b"], env("HELM_DRIVER", "configmap")),
            (&["diff", "upgrade", "a", "b"], env("HELM_KUBEAPISERVER", "https://other")),
        ] {
            let args: Vec<OsString> = args.iter().map(Into::into).collect();
            assert!(run(&args, env).is_err(), "{args:?}");
        }
        let defaults = Environment::from([
            ("HELM_DRIVER".into(), "secret".into()),
            ("HELM_KUBETOKEN".into(), "".into()),
            ("HELM_KUBEINSECURE_SKIP_TLS_VERIFY".into(), "false".into()),
        ]);
        assert!(refuse_other_clusters(&defaults).is_ok());
    }
}
