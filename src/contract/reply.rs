//! What a handler answers.
//!
//! A reply is laid over the state: what it does not name stays as it is.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{WatchRequest, state::ByKind};
use crate::{
    duration::GoDuration,
    object::Gvk,
    suggest,
    yaml::{self, YamlError},
};

/// How the text of a reply is to be read.
#[derive(Debug, Clone, Copy)]
pub enum ReplyFormat<'a> {
    /// From a program: nothing printed means no change; reply keys, or a stream of manifests.
    Program,
    /// From a template: a stream of manifests that is the complete list of each of these kinds.
    Template(&'a [Gvk]),
}

/// A handler's answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    /// The handled object.
    pub object: ObjectReply,
    /// The complete status that this entry owns.
    pub status: Option<Map<String, Value>>,
    /// Per kind the complete desired list.
    pub dependents: Option<ByKind>,
    /// Kubernetes Events to publish.
    pub events: Vec<Event>,
    /// Run again at once (with back-off).
    pub requeue: bool,
    /// Run again after this time.
    pub requeue_after: Option<Duration>,
    /// What to watch from now on.
    pub watches: Option<Vec<WatchRequest>>,
}

/// What a reply says of the handled object.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum ObjectReply {
    /// Nothing.
    #[default]
    Unchanged,
    /// It is to be deleted.
    Deleted,
    /// It should look like this.
    Edited(Value),
}

/// A Kubernetes Event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Normal or Warning.
    #[serde(rename = "type", default)]
    pub kind_of: EventType,
    /// One word in camel case.
    pub reason: String,
    /// One sentence.
    #[serde(default)]
    pub message: String,
}

/// Whether somebody should look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventType {
    /// Information.
    #[default]
    Normal,
    /// Trouble.
    Warning,
}

/// What may be written to `$HOOK_PROGRESS`, one JSON object a line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The complete status, as in a reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Map<String, Value>>,
    /// Events to publish at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
}

/// A reply that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReplyError {
    /// Not UTF-8.
    #[error("the reply is not UTF-8 text")]
    NotText,
    /// Neither JSON nor YAML.
    #[error("the reply is neither JSON nor YAML: {0}")]
    Syntax(YamlError),
    /// A document that is not a map.
    #[error("the reply is {0}, expected a map with keys such as `status` and `dependents`, or manifests")]
    NotAMap(&'static str),
    /// A key that means nothing.
    #[error("the reply has the unknown key `{key}`{}", hint(.suggestion.as_deref()))]
    UnknownKey {
        /// The key.
        key: String,
        /// What was probably meant.
        suggestion: Option<String>,
    },
    /// A key with the wrong kind of value.
    #[error("`{key}` in the reply is wrong: {problem}")]
    WrongValue {
        /// The key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |key| format!("; did you mean `{key}`?"))
}

/// Keys of the state that a handler may echo; they mean nothing in a reply.
const ECHOED: [&str; 6] = ["lastObject", "references", "watched", "triggers", "values", "attempt"];
/// Longer delays are cut to this: a year.
const LONGEST_DELAY: Duration = Duration::from_hours(365 * 24);
const KEYS: [&str; 7] = ["object", "status", "dependents", "events", "requeue", "requeueAfter", "watches"];

impl Reply {
    /// Reads what a handler printed.
    ///
    /// # Errors
    /// When it is no text, malformed, or says something that the contract does not know.
    pub fn parse(bytes: &[u8], format: ReplyFormat<'_>) -> Result<Self, ReplyError> {
        let text = std::str::from_utf8(bytes).map_err(|_| ReplyError::NotText)?;
        let mut reply = Self::default();
        if let ReplyFormat::Template(kinds) = format {
            reply.dependents = Some(kinds.iter().map(|gvk| (gvk.key(), Vec::new())).collect());
        }
        for document in yaml::documents(text).map_err(ReplyError::Syntax)? {
            match Gvk::of(&document) {
                Some(gvk) => {
                    reply.dependents.get_or_insert_default().entry(gvk.key()).or_default().push(document);
                }
                None => reply.lay_over(document)?,
            }
        }
        Ok(reply)
    }

    /// What is left of an observer's reply: when to run again and what to watch. Nothing is written.
    #[must_use]
    pub fn without_writes(self) -> Self {
        let Self { requeue, requeue_after, watches, .. } = self;
        Self { requeue, requeue_after, watches, ..Self::default() }
    }

    fn lay_over(&mut self, document: Value) -> Result<(), ReplyError> {
        let kind = kind_of(&document);
        let Value::Object(keys) = document else { return Err(ReplyError::NotAMap(kind)) };
        for (key, value) in keys {
            match key.as_str() {
                "object" => {
                    self.object = match value {
                        Value::Null => ObjectReply::Deleted,
                        Value::Object(_) => ObjectReply::Edited(value),
                        other => return Err(expected(&key, "an object or null", &other)),
                    }
                }
                "status" => match value {
                    Value::Null => {}
                    Value::Object(map) => self.status = Some(map),
                    other => return Err(expected(&key, "a map", &other)),
                },
                "dependents" => {
                    let lists: Option<ByKind> = typed(&key, value)?;
                    for (kind, list) in lists.into_iter().flatten() {
                        let mine =
                            self.dependents.get_or_insert_default().entry(kind.to_lowercase()).or_default();
                        mine.extend(list);
                    }
                }
                "events" => self.events.extend(typed::<Option<Vec<Event>>>(&key, value)?.unwrap_or_default()),
                "requeue" => self.requeue = typed::<Option<bool>>(&key, value)?.unwrap_or_default(),
                "requeueAfter" => {
                    self.requeue_after = delay(&key, &value)?.map(|delay| delay.min(LONGEST_DELAY));
                }
                "watches" => self.watches = typed(&key, value)?,
                _ if ECHOED.contains(&key.as_str()) => {}
                _ => {
                    let suggestion = suggest::closest(&key, KEYS).map(str::to_owned);
                    return Err(ReplyError::UnknownKey { key, suggestion });
                }
            }
        }
        Ok(())
    }
}

fn typed<T: serde::de::DeserializeOwned>(key: &str, value: Value) -> Result<T, ReplyError> {
    serde_json::from_value(value)
        .map_err(|error| ReplyError::WrongValue { key: key.to_owned(), problem: error.to_string() })
}

fn delay(key: &str, value: &Value) -> Result<Option<Duration>, ReplyError> {
    let problem = |problem: String| ReplyError::WrongValue { key: key.to_owned(), problem };
    match value {
        Value::Null => Ok(None),
        Value::Number(seconds) => Duration::try_from_secs_f64(seconds.as_f64().unwrap_or(-1.0))
            .map(Some)
            .map_err(|_| problem(format!("{seconds} is not a number of seconds"))),
        Value::String(text) => text
            .parse::<GoDuration>()
            .map(|duration| Some(duration.0))
            .map_err(|error| problem(error.to_string())),
        other => Err(expected(key, "seconds or a duration such as `30s`", other)),
    }
}

fn expected(key: &str, expected: &str, found: &Value) -> ReplyError {
    ReplyError::WrongValue {
        key: key.to_owned(),
        problem: format!("expected {expected}, found {}", kind_of(found)),
    }
}

/// The name of a JSON type, for error messages.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn program(text: &str) -> Result<Reply, ReplyError> {
        Reply::parse(text.as_bytes(), ReplyFormat::Program)
    }

    #[test]
    fn silence_changes_nothing() {
        assert_eq!(program("").unwrap(), Reply::default());
        assert_eq!(program("{}\n").unwrap(), Reply::default());
    }

    #[test]
    fn reads_every_key() {
        let reply = program(
            r#"{"object": null, "status": {"a": 1}, "dependents": {"configmap.v1": []}, "requeue": true,
               "requeueAfter": "1m", "events": [{"type": "Warning", "reason": "Odd", "message": "m"}],
               "watches": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]}"#,
        )
        .unwrap();
        assert_eq!(reply.object, ObjectReply::Deleted);
        assert_eq!(reply.status.unwrap()["a"], 1);
        assert_eq!(reply.dependents.unwrap()["configmap.v1"], Vec::<Value>::new());
        assert!(reply.requeue);
        assert_eq!(reply.requeue_after, Some(Duration::from_mins(1)));
        assert_eq!(reply.events[0].kind_of, EventType::Warning);
        assert_eq!(reply.watches.unwrap()[0].gvk(), Gvk::new("", "v1", "Pod"));
    }

    #[test]
    fn without_writes_it_is_still_known_when_to_run_and_what_to_watch() {
        let reply = program(
            r#"{"object": null, "status": {"a": 1}, "dependents": {"configmap.v1": []}, "requeueAfter": 0,
               "events": [{"reason": "Odd"}], "watches": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]}"#,
        );
        let Reply { requeue_after, watches, .. } = reply.clone().unwrap();
        let expected = Reply { requeue_after, watches, ..Reply::default() };
        assert_eq!(reply.unwrap().without_writes(), expected);
    }

    #[test]
    fn an_echoed_state_is_accepted() {
        let reply = program(
            r#"{"object": {"a": 1}, "dependents": {}, "references": {}, "watched": {}, "triggers": [], "values": {}, "attempt": 0}"#,
        );
        assert_eq!(reply.unwrap().object, ObjectReply::Edited(json!({"a": 1})));
    }

    #[test]
    fn requeue_after_takes_seconds_and_go_durations() {
        for (text, seconds) in [("1.5", 1.5), ("30", 30.0), ("\"2m\"", 120.0)] {
            let reply = program(&format!(r#"{{"requeueAfter": {text}}}"#)).unwrap();
            assert_eq!(reply.requeue_after, Some(Duration::from_secs_f64(seconds)));
        }
    }

    #[test]
    fn absurd_delays_are_cut() {
        assert_eq!(program(r#"{"requeueAfter": 1e19}"#).unwrap().requeue_after, Some(LONGEST_DELAY));
    }

    #[test]
    fn a_template_prints_the_complete_list_of_each_declared_kind() {
        let kinds = [Gvk::new("", "v1", "ConfigMap"), Gvk::new("apps", "v1", "Deployment")];
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\nstatus:\n  seen: true\n";
        let reply = Reply::parse(text.as_bytes(), ReplyFormat::Template(&kinds)).unwrap();
        let dependents = reply.dependents.unwrap();
        assert_eq!(dependents["configmap.v1"].len(), 1);
        assert_eq!(dependents["deployment.v1.apps"], Vec::<Value>::new());
        assert_eq!(reply.status.unwrap()["seen"], true);
    }

    #[test]
    fn a_program_that_prints_manifests_lists_only_the_kinds_it_prints() {
        let reply = program("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n").unwrap();
        assert_eq!(reply.dependents.unwrap().keys().collect::<Vec<_>>(), ["configmap.v1"]);
    }

    #[test]
    fn bad_replies_say_what_is_wrong() {
        for (text, message) in [
            (r#"{"staus": {}}"#, "the reply has the unknown key `staus`; did you mean `status`?"),
            (
                "[1]",
                "the reply is a list, expected a map with keys such as `status` and `dependents`, or manifests",
            ),
            (r#"{"status": 3}"#, "`status` in the reply is wrong: expected a map, found a number"),
            (
                r#"{"requeueAfter": "soon"}"#,
                "`requeueAfter` in the reply is wrong: `soon` is not a duration; write for example `1m30s`",
            ),
            (
                r#"{"requeueAfter": -1}"#,
                "`requeueAfter` in the reply is wrong: -1 is not a number of seconds",
            ),
        ] {
            assert_eq!(program(text).unwrap_err().to_string(), message);
        }
        let half = program(r#"{"status": {"a": 1"#).unwrap_err().to_string();
        assert!(half.starts_with("the reply is neither JSON nor YAML: line 1"), "{half}");
        assert_eq!(Reply::parse(&[0xff], ReplyFormat::Program).unwrap_err(), ReplyError::NotText);
    }
}
