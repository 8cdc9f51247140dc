//! `helm diff upgrade`, answered here.

use std::ffi::OsString;

use serde_json::json;

use super::{answer::Session, heard::Objection, versions::fingerprint};
use crate::{
    causes, digest,
    helmfile::{
        api::names::reason,
        helm::{
            chart::Looked,
            flags::{self, Asked as Parsed, UpgradeArgs},
            front::{Asked, Told},
            plugin::{self, State},
            render::Helm,
        },
        ledger::ReleaseId,
    },
};

/// Counts up when a digest of other inputs could have the same value.
const FORMAT: u32 = 2;

impl Session<'_> {
    /// Answers as the plugin would.
    pub(super) async fn compare(&self, asked: &Asked, args: &[String]) -> Told {
        let words: Vec<OsString> = args.iter().map(OsString::from).collect();
        let helm = self.helm(asked);
        let parsed = match flags::parse(&words, &helm.env) {
            Ok(Parsed::Upgrade(parsed)) => parsed,
            Ok(Parsed::Help(text)) => return Told::print(text),
            Err(error) => return Told::refuse(error),
        };
        match self.differs(&parsed, &helm).await {
            Ok(Answer { changed, text }) => Told::Done {
                exit: if changed && parsed.detailed_exitcode { 2 } else { 0 },
                stdout: text,
                stderr: String::new(),
            },
            Err(error) => Told::refuse(error),
        }
    }

    async fn differs(&self, args: &UpgradeArgs, helm: &Helm) -> Result<Answer, String> {
        if args.kube_context.as_deref().is_some_and(|context| !context.is_empty())
            || args.kubeconfig.is_some()
        {
            let objection = Objection {
                reason: reason::HELMFILE_INVALID,
                message: format!(
                    "release `{}` names a cluster of its own (kubeContext or kubeconfig); a Helmfile delivers to one cluster, \
                     which its own kubeConfig names",
                    args.release
                ),
                permanent: false,
            };
            return Err(self.objection(&objection).message);
        }
        let id = self.id(args.namespace.as_deref(), &args.release);
        let cluster = self.setting.cluster;
        let state = State::read(cluster, &id.namespace, &id.name)
            .await
            .map_err(|error| causes::in_one_line(&error))?;
        if let Some(newest) = &state.newest {
            self.refuse_claimed(&id, newest).await.map_err(|objection| objection.message)?;
        }
        let looked = plugin::look(args, helm).await;
        let what = match &looked {
            Some(looked) => self.what(args, &id, &state, looked, helm).await,
            None => None,
        };
        let digest = what.as_ref().and_then(|what| what.in_place(&state));
        let known = digest.as_ref().is_some_and(|digest| self.renders().knows(&id, digest));
        let answer = if known {
            Answer { changed: false, text: String::new() }
        } else {
            let stop = self.setting.stop;
            let slot = stop.run_until_cancelled(self.setting.slots.take()).await;
            let _slot = slot.ok_or("was stopped")?.map_err(|error| causes::in_one_line(&error))?;
            let traits = looked.as_ref().map(|looked| &looked.traits);
            let found = plugin::compare(args, &id.namespace, &state, traits, helm, cluster, stop).await;
            let found = found.map_err(|error| causes::in_one_line(&error))?;
            self.renders().note(&id, digest.filter(|_| !found.changed));
            Answer { changed: found.changed, text: found.text }
        };
        let mut heard = self.heard();
        let seen = heard.release(&id);
        seen.chart.clone_from(&args.chart);
        seen.differs = Some(answer.changed);
        seen.deployed = state.deployed;
        seen.what = what.filter(|what| what.is_upgrade_the_same).map(|what| what.digest);
        Ok(answer)
    }

    /// A digest of everything that decides what the release renders to; `None` when that is not all in sight.
    async fn what(
        &self,
        args: &UpgradeArgs,
        id: &ReleaseId,
        state: &State,
        looked: &Looked,
        helm: &Helm,
    ) -> Option<What> {
        if args.three_way || args.has_post_renderer() || looked.pure.is_err() {
            return None;
        }
        let is_upgrade_the_same = !looked.traits.revision;
        let (namespace, traits, cluster) = (&id.namespace, &looked.traits, self.setting.cluster);
        let mut inputs = plugin::render_inputs(args, namespace, state, traits, helm, cluster).await.ok()?;
        if inputs.iter().any(|input| input == "--dry-run=server") {
            return None;
        }
        if is_upgrade_the_same {
            inputs.retain(|input| input != "--is-upgrade");
        }
        let digest = digest::of_json(&json!({
            "format": FORMAT, "program": env!("CARGO_PKG_VERSION"), "chart": looked.digest, "inputs": inputs,
            "helm": fingerprint(&self.setting.helm)?,
        }));
        Some(What { digest, is_upgrade_the_same })
    }
}

/// What a release renders to, as a digest of all that it is made of.
struct What {
    digest: String,
    /// Whether the same comes out whether it is installed or upgraded: then what was upgraded needs no look afterwards.
    is_upgrade_the_same: bool,
}

impl What {
    /// The same together with the revision that it is compared with; `None` when the newest one is not deployed.
    fn in_place(&self, state: &State) -> Option<String> {
        let (deployed, newest) = (state.deployed.as_ref()?, state.newest.as_ref()?);
        let settled = !deployed.uid.is_empty() && deployed.revision == newest.revision;
        settled.then(|| in_place(&self.digest, &deployed.uid, deployed.revision))
    }
}

/// A digest of what a release renders to and of the revision that has it.
pub(crate) fn in_place(what: &str, uid: &str, revision: u32) -> String {
    digest::of_json(&json!([what, uid, revision]))
}

struct Answer {
    changed: bool,
    text: String,
}
