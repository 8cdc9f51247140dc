//! The inside of the program, as JSON.

use std::{net::IpAddr, sync::Arc};

use serde::Serialize;

use super::sources::Sources;
use crate::{
    engine::record::{
        redacted,
        view::{EntryView, Handling, ObjectQuery, ObjectReport, Problem, ProgramReport},
    },
    suggest,
    telemetry::metrics::{QueueReading, Readings, WatchReading},
};

/// An answer: status and JSON.
pub(super) type Answer = (u16, String);

/// Whether a request may look inside. Besides the peer, the name in the address counts: a page in a browser on this
/// machine can get at us only under a name of its own.
pub(super) fn may_look(peer: IpAddr, host: Option<&str>) -> bool {
    let name = host.map(|host| {
        host.rsplit_once(':').map_or(host, |(name, port)| match port.parse::<u16>() {
            Ok(_) => name,
            Err(_) => host,
        })
    });
    let is_local = |name: &str| {
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        name == "localhost" || bare.parse::<IpAddr>().is_ok()
    };
    peer.to_canonical().is_loopback() && name.is_none_or(is_local)
}

pub(super) fn problem(message: impl Into<String>) -> String {
    print(&Problem { message: message.into(), handled: Vec::new() })
}

fn print(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("\"{error}\""));
    text.push('\n');
    text
}

/// Entries, watches, queues.
pub(super) fn program(sources: &Sources) -> Answer {
    let report = ProgramReport {
        version: sources.version.to_owned(),
        now: sources.clock.now(),
        entries: sources.insight.entries(),
        watches: sources.insight.watches(),
        remembered: sources.journal.size().0,
    };
    (200, print(&report))
}

/// Which part of an object's runs somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All but the whole logs.
    Short,
    /// With the whole logs that are kept.
    WithLogs,
}

/// One object; `path` is `KIND/NAMESPACE/NAME` or `KIND/NAME`, percent-encoded. That nothing is known of an object of a
/// handled kind is an answer too.
pub(super) fn object(sources: &Sources, path: &str, part: Part) -> Answer {
    let Some(query) = query(path) else {
        return (
            404,
            problem(
                "write /debug/whitebox/objects/KIND/NAMESPACE/NAME, without NAMESPACE for cluster-scoped kinds",
            ),
        );
    };
    let entries = sources.insight.entries();
    if !entries.iter().any(|entry| query.names(&entry.kind)) {
        return (404, print(&unhandled(&query, &entries)));
    }
    let views = sources.insight.object(&query);
    let handlings = views.into_iter().filter_map(|mut object| {
        let entry = entries.iter().find(|entry| entry.name == object.entry)?.clone();
        object.last_error = object.last_error.as_deref().map(redacted);
        let runs = match part {
            Part::Short => sources.journal.of(&object.entry, &object.object),
            Part::WithLogs => sources.journal.with_logs_of(&object.entry, &object.object),
        };
        Some(Handling { entry, object, runs })
    });
    let entries = handlings.collect();
    (200, print(&ObjectReport { now: sources.clock.now(), query, entries }))
}

fn query(path: &str) -> Option<ObjectQuery> {
    let parts: Option<Vec<String>> = path.split('/').map(decode).collect();
    let parts = parts?;
    let (kind, namespace, name) = match parts.as_slice() {
        [kind, name] => (kind, None, name),
        [kind, namespace, name] => (kind, Some(namespace.clone()), name),
        _ => return None,
    };
    let is_empty = kind.is_empty() || name.is_empty() || namespace.as_ref().is_some_and(String::is_empty);
    (!is_empty).then(|| ObjectQuery { kind: kind.clone(), namespace, name: name.clone() })
}

/// Names may hold `:` and `@`, which clients write as `%3A` and `%40`.
fn decode(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' { hex(rest.next()?)? << 4 | hex(rest.next()?)? } else { byte });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

fn unhandled(query: &ObjectQuery, entries: &[EntryView]) -> Problem {
    let mut handled: Vec<String> = entries.iter().map(|entry| entry.kind.to_string()).collect();
    handled.sort();
    handled.dedup();
    let (kind, _) = query.kind.split_once('.').unwrap_or((&query.kind, ""));
    let meant = suggest::closest(kind, entries.iter().map(|entry| entry.kind.kind.as_str()));
    let hint = match meant {
        // The kind is right, so the group is not.
        Some(meant) if meant.eq_ignore_ascii_case(kind) => "; the group is another one".to_owned(),
        Some(meant) => format!("; did you mean `{meant}`?"),
        None => String::new(),
    };
    let known = if handled.is_empty() { "nothing".to_owned() } else { handled.join(", ") };
    Problem { message: format!("no entry handles `{}`{hint}; handled: {known}", query.kind), handled }
}

/// What the metrics ask for.
pub(super) fn readings(sources: &Sources) -> Readings {
    let queue = |entry: EntryView| QueueReading {
        entry: entry.name,
        waiting: entry.queue.waiting,
        head_age: entry.queue.head_age.unwrap_or_default(),
        scheduled: entry.queue.scheduled,
        running: entry.queue.running,
        retrying: entry.queue.retrying,
    };
    let watches = sources.insight.watches().into_iter().map(|watch| WatchReading {
        kind: watch.kind.key(),
        detail: watch.detail.name(),
        objects: watch.objects,
        bytes: watch.bytes,
        synced: watch.synced,
        trouble: watch.trouble.is_some(),
    });
    let (journal_objects, journal_bytes) = sources.journal.size();
    Readings {
        queues: sources.insight.entries().into_iter().map(queue).collect(),
        watches: watches.collect(),
        journal_objects,
        journal_bytes,
        objects: Arc::new(sources.insight.gauges()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_may_look_and_no_page_in_its_browser() {
        for (peer, host, expected) in [
            ("127.0.0.1", Some("127.0.0.1:8081"), true),
            ("127.0.0.1", Some("localhost:8081"), true),
            ("127.0.0.1", Some("localhost"), true),
            ("127.0.0.1", None, true),
            ("::ffff:127.0.0.1", Some("[::1]:8081"), true),
            ("::1", Some("[::1]"), true),
            ("10.0.0.7", Some("127.0.0.1:8081"), false),
            ("::ffff:10.0.0.7", Some("localhost"), false),
            ("127.0.0.1", Some("evil.example:8081"), false),
            ("127.0.0.1", Some("localhost.evil.example"), false),
        ] {
            assert_eq!(may_look(peer.parse().unwrap(), host), expected, "{peer} {host:?}");
        }
    }

    #[test]
    fn paths_name_objects() {
        let query = |path| query(path).map(|query| (query.kind, query.namespace, query.name));
        let text = |text: &str| text.to_owned();
        assert_eq!(query("hello/a/x"), Some((text("hello"), Some(text("a")), text("x"))));
        assert_eq!(
            query("clusterrole/system%3Anode"),
            Some((text("clusterrole"), None, text("system:node")))
        );
        for wrong in ["hello", "hello/", "hello//x", "hello/a/x/y", "hello/%4", "hello/%ff", ""] {
            assert_eq!(query(wrong), None, "{wrong}");
        }
    }
}
