//! `suspend` and `resume`.

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    objects::{Form, Helmfiles, Place},
    outcome::Sought,
    progress::{End, Patience, until_done},
    report,
    seen::Seen,
    world,
};
use crate::exit::Exit;

/// Leave the releases of Helmfiles as they are, until they are resumed. A delivery that runs is finished first.
#[derive(Debug, Args)]
pub(super) struct SuspendArgs {
    #[command(flatten)]
    which: Which,
}

/// Deliver suspended Helmfiles again, and wait for what comes of it.
///
/// Exits with 0 when all of them are Ready then, and with 1 when one is not.
#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    patience: Patience,
}

/// Which Helmfiles.
#[derive(Debug, Args)]
struct Which {
    /// The Helmfiles
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    names: Vec<String>,
    /// All of the namespace
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    place: Place,
    /// Print the objects at the end
    #[arg(short, long, value_enum)]
    output: Option<Form>,
}

impl Which {
    /// Reads them. One that is not there is an error before anything is changed.
    async fn read(&self, helmfiles: &Helmfiles) -> anyhow::Result<Vec<Value>> {
        if self.all {
            let all = helmfiles.list(false).await?;
            if all.is_empty() {
                report::note(&format!("No Helmfiles found in namespace {}", helmfiles.namespace));
            }
            return Ok(all);
        }
        let mut found = Vec::new();
        for name in &self.names {
            found.push(helmfiles.get(name).await?);
        }
        Ok(found)
    }

    /// Says something on stdout, unless the objects go there.
    fn say(&self, text: &str) -> anyhow::Result<()> {
        if self.output.is_none() {
            report::print(&format!("{text}\n"))?;
        }
        Ok(())
    }

    /// Prints the objects, if they are asked for, and says what went wrong with some of them.
    fn finish(&self, objects: &[Value], failures: &[String]) -> anyhow::Result<Exit> {
        if let Some(form) = self.output {
            report::print(&if self.all { form.list(objects) } else { form.print(objects) })?;
        }
        if !failures.is_empty() {
            bail!("{}", failures.join("; "));
        }
        Ok(Exit::Done)
    }
}

pub(super) fn suspend(args: &SuspendArgs) -> anyhow::Result<Exit> {
    let which = &args.which;
    world::runtime()?.block_on(async {
        let helmfiles = Helmfiles::connect(&which.place).await?;
        let mut objects = which.read(&helmfiles).await?;
        let mut failures = Vec::new();
        for object in &mut objects {
            let seen = Seen::of(object);
            let title = helmfiles.title(&seen.name);
            if seen.suspended {
                which.say(&format!("{title} is suspended already"))?;
                continue;
            }
            match helmfiles.patch(&seen.name, &json!({"spec": {"suspend": true}})).await {
                Ok(now) => {
                    *object = now;
                    which.say(&format!("{title} is suspended now"))?;
                }
                // The others are none the worse for it.
                Err(error) => failures.push(format!("{error:#}")),
            }
        }
        which.finish(&objects, &failures)
    })
}

pub(super) fn resume(args: &ResumeArgs) -> anyhow::Result<Exit> {
    let ResumeArgs { which, patience } = args;
    world::runtime()?.block_on(async {
        let deadline = Instant::now() + patience.timeout.0;
        let helmfiles = Helmfiles::connect(&which.place).await?;
        let mut objects = which.read(&helmfiles).await?;
        let mut failures = Vec::new();
        // All are resumed before the first is waited for, so that waiting takes as long as the slowest.
        let mut resumed = Vec::new();
        for object in &mut objects {
            let seen = Seen::of(object);
            let title = helmfiles.title(&seen.name);
            if !seen.suspended {
                which.say(&format!("{title} is not suspended"))?;
                continue;
            }
            // Removed instead of set to false: nobody has to own the field then.
            match helmfiles.patch(&seen.name, &json!({"spec": {"suspend": null}})).await {
                Ok(now) => {
                    *object = now;
                    if patience.no_wait {
                        which.say(&format!("{title} is resumed now"))?;
                    }
                    resumed.push(object);
                }
                Err(error) => failures.push(format!("{error:#}")),
            }
        }
        for object in resumed.into_iter().filter(|_| !patience.no_wait) {
            let seen = Seen::of(object);
            let title = helmfiles.title(&seen.name);
            match until_done(&helmfiles, &seen.name, &Sought::Generation(seen.generation), deadline).await {
                Ok(End::Interrupted(exit)) => return Ok(exit),
                Ok(End::Done { object: now, ready, message }) => {
                    *object = now;
                    if ready {
                        which.say(&format!("{title} is ready: {message}"))?;
                    } else {
                        failures.push(format!("{title} is not ready: {message}"));
                    }
                }
                Err(error) => failures.push(format!("{error:#}")),
            }
        }
        which.finish(&objects, &failures)
    })
}
