//! `reconcile`: asks for a pass now, and waits for what comes of it.

use std::hash::{BuildHasher as _, RandomState};

use anyhow::bail;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
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
use crate::{
    clock::Clock,
    exit::Exit,
    helmfile::api::names::annotation::{FORCE_AT, REQUESTED_AT, RESET_AT},
};

/// Ask for a delivery now, and wait for what comes of it.
///
/// Exits with 0 when the Helmfile is Ready then, and with 1 when it is not.
#[derive(Debug, Args)]
pub(super) struct ReconcileArgs {
    /// The Helmfile
    name: String,
    /// Run helmfile in full, though nothing has changed
    #[arg(long)]
    force: bool,
    /// Forget the failures so far
    #[arg(long)]
    reset: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    patience: Patience,
    /// Print the object at the end
    #[arg(short, long, value_enum)]
    output: Option<Form>,
}

pub(super) fn main(args: &ReconcileArgs) -> anyhow::Result<Exit> {
    world::runtime()?.block_on(async {
        let deadline = Instant::now() + args.patience.timeout.0;
        let helmfiles = Helmfiles::connect(&args.place).await?;
        let title = helmfiles.title(&args.name);
        let seen = Seen::of(&helmfiles.get(&args.name).await?);
        if seen.suspended {
            let Seen { namespace, name, .. } = seen;
            bail!(
                "{title} is suspended; `helmfile-operator resume {name} -n {namespace}` delivers it, and goes on doing so"
            );
        }
        let value = moment(Clock::System.now());
        let patched = helmfiles.patch(&args.name, &request(&value, args.force, args.reset)).await?;
        if args.patience.no_wait {
            return match args.output {
                Some(form) => report::print(&form.print(&[patched])),
                None => report::print(&format!("{title}: requested\n")),
            };
        }
        match until_done(&helmfiles, &args.name, &Sought::Request(value), deadline).await? {
            End::Interrupted(exit) => Ok(exit),
            End::Done { object, ready, message } => {
                if let Some(form) = args.output {
                    report::print(&form.print(&[object]))?;
                }
                match (ready, args.output) {
                    (false, _) => bail!("{title} is not ready: {message}"),
                    (true, None) => report::print(&format!("{title} is ready: {message}\n")),
                    (true, Some(_)) => Ok(Exit::Done),
                }
            }
        }
    })
}

/// The patch that asks.
fn request(value: &str, force: bool, reset: bool) -> Value {
    let mut annotations = json!({REQUESTED_AT: value});
    for (asked, name) in [(force, FORCE_AT), (reset, RESET_AT)] {
        if asked {
            annotations[name] = value.into();
        }
    }
    json!({"metadata": {"annotations": annotations}})
}

/// A time for a request. The clock has whole seconds, and two requests within one must not be taken for the same one: what
/// follows the second is by chance.
fn moment(now: Timestamp) -> String {
    let chance = RandomState::new().hash_one(()) % 1_000_000_000;
    let nanos = SignedDuration::from_nanos(i64::try_from(chance).unwrap_or_default());
    now.checked_add(nanos).unwrap_or(now).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_what_is_asked_for_with_one_value() {
        assert_eq!(
            request("v", false, false),
            json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "v"}}})
        );
        let all = json!({"reconcile.fluxcd.io/requestedAt": "v", "reconcile.fluxcd.io/forceAt": "v", "reconcile.fluxcd.io/resetAt": "v"});
        assert_eq!(request("v", true, true)["metadata"]["annotations"], all);
    }

    #[test]
    fn two_requests_of_one_second_are_two() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let (one, other) = (moment(now), moment(now));
        assert_ne!(one, other);
        assert!(one.starts_with("2026-01-02T03:04:05.") && one.parse::<Timestamp>().is_ok(), "{one}");
    }
}
