//! `get`: Helmfiles in a table, or one with its releases and what is wrong.

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    objects::{Form, Helmfiles, Place, resource_name},
    report,
    seen::Seen,
    table::{Table, age, clean},
    world,
};
use crate::{
    clock::{Clock, since},
    exit::Exit,
    helmfile::api::{ConditionStatus, Inventory, names, short_revision},
    object,
};

/// Show Helmfiles, or one with its releases and what is wrong.
#[derive(Debug, Args)]
pub(super) struct GetArgs {
    /// Only this one
    name: Option<String>,
    /// Those of all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["name", "namespace"])]
    all_namespaces: bool,
    #[command(flatten)]
    place: Place,
    /// How to print them [default: a table]
    #[arg(short, long, value_enum)]
    output: Option<Output>,
}

/// How to print Helmfiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table with more columns and whole revisions.
    Wide,
    /// The objects as JSON.
    Json,
    /// The objects as YAML.
    Yaml,
    /// Their names only, as kubectl takes them.
    Name,
}

pub(super) fn main(args: &GetArgs) -> anyhow::Result<Exit> {
    world::runtime()?.block_on(async {
        let helmfiles = Helmfiles::connect(&args.place).await?;
        let objects = match &args.name {
            Some(name) => vec![helmfiles.get(name).await?],
            None => helmfiles.list(args.all_namespaces).await?,
        };
        let (is_one, wide) = (args.name.is_some(), args.output == Some(Output::Wide));
        match args.output {
            Some(Output::Json | Output::Yaml) => {
                let form = if args.output == Some(Output::Json) { Form::Json } else { Form::Yaml };
                return report::print(&if is_one { form.print(&objects) } else { form.list(&objects) });
            }
            Some(Output::Name) => {
                return report::print(&objects.iter().map(kubectl_name).collect::<String>());
            }
            Some(Output::Wide) | None => {}
        }
        let now = Clock::System.now();
        let seen: Vec<Seen> = objects.iter().map(Seen::of).collect();
        match seen.as_slice() {
            [] if args.all_namespaces => report::note("No Helmfiles found"),
            [] => report::note(&format!("No Helmfiles found in namespace {}", helmfiles.namespace)),
            [one] if is_one => return report::print(&details(one, wide, now)),
            many => return report::print(&overview(many, args.all_namespaces, wide, now)),
        }
        Ok(Exit::Done)
    })
}

fn kubectl_name(object: &Value) -> String {
    format!("{}/{}\n", resource_name(), object::name(object))
}

/// One line for each.
fn overview(helmfiles: &[Seen], namespaces: bool, wide: bool, now: Timestamp) -> String {
    let mut header = vec!["NAME", "READY", "STATUS", "REVISION", "RELEASES", "AGE"];
    if namespaces {
        header.insert(0, "NAMESPACE");
    }
    if wide {
        header.extend(["SUSPENDED", "LAST APPLIED", "DURATION"]);
    }
    let mut table = Table::new(header);
    for seen in helmfiles {
        table.row(row(seen, namespaces, wide, now));
    }
    table.print()
}

fn row(seen: &Seen, namespaces: bool, wide: bool, now: Timestamp) -> Vec<String> {
    let status = &seen.status;
    let ago = |then: Option<Timestamp>| then.map_or_else(String::new, |then| age(since(now, then)));
    let revision = status.last_applied_revision.as_deref().unwrap_or_default();
    let ready = seen.condition(names::READY).map_or(ConditionStatus::Unknown, |ready| ready.status);
    let mut row = vec![
        seen.name.clone(),
        format!("{ready:?}"),
        seen.message(),
        if wide { revision.to_owned() } else { short_revision(revision) },
        status.inventory.as_ref().map_or_else(String::new, |inventory| inventory.count.to_string()),
        ago(seen.created),
    ];
    if namespaces {
        row.insert(0, seen.namespace.clone());
    }
    if wide {
        let suspended = if seen.suspended { "True" } else { "False" };
        let last = status.history.first();
        row.extend([
            suspended.to_owned(),
            ago(status.last_applied_time),
            last.map_or_else(String::new, |last| last.duration.to_string()),
        ]);
    }
    row
}

/// Its line, its releases, and what is wrong.
fn details(seen: &Seen, wide: bool, now: Timestamp) -> String {
    let mut text = overview(std::slice::from_ref(seen), false, wide, now);
    if let Some(inventory) = seen.status.inventory.as_ref().filter(|inventory| inventory.count > 0) {
        text.push('\n');
        text.push_str(&releases(inventory));
    }
    let abnormal = seen.abnormal();
    if !abnormal.is_empty() {
        let mut table = Table::new(["CONDITION", "STATUS", "REASON", "MESSAGE"]);
        for condition in abnormal {
            let status = format!("{:?}", condition.status);
            table.row([
                condition.kind_of.clone(),
                status,
                condition.reason.clone(),
                condition.message.clone(),
            ]);
        }
        text.push('\n');
        text.push_str(&table.print());
    }
    text
}

fn releases(inventory: &Inventory) -> String {
    let mut table = Table::new(["NAMESPACE", "NAME", "CHART", "REVISION", "STATUS"]);
    for release in &inventory.releases {
        table.row([
            release.namespace.clone(),
            release.name.clone(),
            release.chart.clone(),
            release.revision.map_or_else(String::new, |revision| revision.to_string()),
            release.status.clone().unwrap_or_default(),
        ]);
    }
    let listed = u32::try_from(inventory.releases.len()).unwrap_or(u32::MAX);
    let more = match (inventory.count.saturating_sub(listed), &inventory.overflow) {
        (0, _) => String::new(),
        (more, None) => format!("and {more} more\n"),
        (more, Some(name)) => format!("and {more} more in the ConfigMap {}\n", clean(name)),
    };
    table.print() + &more
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-01-02T04:00:00Z".parse().unwrap()
    }

    fn web() -> Value {
        json!({
            "metadata": {"name": "web", "namespace": "team", "creationTimestamp": "2026-01-02T03:54:30Z"},
            "spec": {},
            "status": {
                "observedGeneration": 1,
                "conditions": [{"type": "Ready", "status": "True", "reason": "R", "lastTransitionTime": "2026-01-02T03:54:40Z",
                                "message": "applied main@sha1:5e0c2a7d91b4: 2 releases"}],
                "lastAppliedRevision": "main@sha1:5e0c2a7d91b4e8d0c19f",
                "lastAppliedTime": "2026-01-02T03:59:50Z",
                "history": [{"revision": "r", "inputs": "i", "at": "2026-01-02T03:59:40Z", "duration": "9.5s",
                             "outcome": "Succeeded", "changed": 1}],
                "inventory": {"count": 3, "objects": 4, "overflow": "web-inventory", "releases": [
                    {"namespace": "team", "name": "api", "chart": "api-1.2.0", "revision": 7, "status": "deployed"},
                    {"namespace": "team", "name": "db"}]},
            },
        })
    }

    #[test]
    fn the_table_has_a_line_for_each() {
        let new = json!({"metadata": {"name": "new", "namespace": "other", "creationTimestamp": "2026-01-02T03:59:58Z"},
                         "spec": {"suspend": true}, "status": {"observedGeneration": -1}});
        let both = [Seen::of(&web()), Seen::of(&new)];
        assert_eq!(
            overview(&both, true, false, now()),
            "\
NAMESPACE   NAME   READY     STATUS                                       REVISION                 RELEASES   AGE
team        web    True      applied main@sha1:5e0c2a7d91b4: 2 releases   main@sha1:5e0c2a7d91b4   3          5m30s
other       new    Unknown   no operator has taken it up yet              -                        -          2s
"
        );
        let wide = overview(&both, false, true, now());
        let cells = |line: usize| {
            wide.lines().nth(line).unwrap().split_whitespace().rev().take(3).collect::<Vec<_>>()
        };
        assert_eq!((cells(1), cells(2)), (vec!["9.5s", "10s", "False"], vec!["-", "-", "True"]), "{wide}");
        assert!(wide.contains("main@sha1:5e0c2a7d91b4e8d0c19f "), "{wide}");
    }

    #[test]
    fn one_is_told_with_its_releases_and_what_is_wrong() {
        let mut object = web();
        assert_eq!(
            details(&Seen::of(&object), false, now()).split_once("\n\n").unwrap().1,
            "\
NAMESPACE   NAME   CHART       REVISION   STATUS
team        api    api-1.2.0   7          deployed
team        db     -           -          -
and 1 more in the ConfigMap web-inventory
"
        );
        object["status"]["conditions"][0]["status"] = "False".into();
        object["status"]["inventory"] = Value::Null;
        assert_eq!(
            details(&Seen::of(&object), false, now()).split_once("\n\n").unwrap().1,
            "\
CONDITION   STATUS   REASON   MESSAGE
Ready       False    R        applied main@sha1:5e0c2a7d91b4: 2 releases
"
        );
    }
}
