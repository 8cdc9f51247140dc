//! What a handler is tried with, as a person writes it down: objects, and what else the state holds.

use serde_json::{Map, Value};

use crate::{
    contract::{ByKind, Trigger},
    object::{self, Gvk, Key, ObjectRef},
    suggest,
    yaml::{self, YamlError},
};

/// A cluster on paper.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given {
    /// All objects in it, in the order they were given, each with a UID.
    pub objects: Vec<Value>,
    /// Why the handler runs; default what follows from the object.
    pub triggers: Option<Vec<Trigger>>,
    /// Laid over the config's values.
    pub values: Map<String, Value>,
    /// How often the handler has failed before.
    pub attempt: u32,
    /// Objects that the last reply asked to watch with their bodies, by contract key.
    pub watched: ByKind,
}

/// Why a text describes no cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GivenError {
    /// It is no YAML.
    #[error("not YAML: {0}")]
    Syntax(#[from] YamlError),
    /// A document is half an object.
    #[error("document {number} lacks {field}, which every object has")]
    Incomplete {
        /// Which one, from 1.
        number: usize,
        /// What is missing.
        field: &'static str,
    },
    /// A document is something else.
    #[error("document {number} is neither an object nor a map of {}", KEYS.join(", "))]
    Strange {
        /// Which one, from 1.
        number: usize,
    },
    /// A key that means nothing.
    #[error("document {number} has the unknown key `{key}`; {hint}")]
    UnknownKey {
        /// Which one, from 1.
        number: usize,
        /// The key.
        key: String,
        /// What to write instead.
        hint: String,
    },
    /// A key with a wrong value.
    #[error("`{key}` in document {number} is wrong: {problem}")]
    WrongValue {
        /// Which one, from 1.
        number: usize,
        /// The key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// What a document without a kind may set.
const KEYS: [&str; 4] = ["triggers", "values", "attempt", "watched"];

impl Given {
    /// Reads a stream of objects; documents without `apiVersion` and `kind` set the rest of the state.
    ///
    /// # Errors
    /// The first document that is neither.
    pub fn read(text: &str) -> Result<Self, GivenError> {
        let mut given = Self::default();
        for (index, document) in yaml::documents(text)?.into_iter().enumerate() {
            let number = index + 1;
            let Value::Object(keys) = &document else { return Err(GivenError::Strange { number }) };
            let has_any = ["apiVersion", "kind", "metadata"].iter().any(|key| keys.contains_key(*key));
            if has_any {
                given.add(number, document)?;
            } else {
                given.set(number, keys.clone())?;
            }
        }
        given.complete();
        Ok(given)
    }

    fn add(&mut self, number: usize, object: Value) -> Result<(), GivenError> {
        let lacks = |field| Err(GivenError::Incomplete { number, field });
        if Gvk::of(&object).is_none() {
            return lacks("`apiVersion` and `kind`");
        }
        for field in ["name", "namespace"] {
            // YAML reads an unquoted `n` or `1` as something else than the author meant.
            if let Some(odd) = object["metadata"].get(field).filter(|value| !value.is_string()) {
                let problem = format!("it must be a text, found {odd}; write it in quotes");
                return Err(GivenError::WrongValue { number, key: format!("metadata.{field}"), problem });
            }
        }
        if object::name(&object).is_empty() {
            return lacks("`metadata.name`");
        }
        self.objects.push(object);
        Ok(())
    }

    fn set(&mut self, number: usize, keys: Map<String, Value>) -> Result<(), GivenError> {
        for (key, value) in keys {
            let result = match key.as_str() {
                "triggers" => serde_json::from_value(value).map(|value| self.triggers = Some(value)),
                "values" => serde_json::from_value(value).map(|value| self.values = value),
                "attempt" => serde_json::from_value(value).map(|value| self.attempt = value),
                "watched" => serde_json::from_value(value).map(|value| self.watched = value),
                _ => {
                    let hint = suggest::closest(&key, KEYS).map_or_else(
                        || format!("there are {}", KEYS.join(", ")),
                        |meant| format!("did you mean `{meant}`?"),
                    );
                    return Err(GivenError::UnknownKey { number, key, hint });
                }
            };
            let wrong = |error: serde_json::Error| error.to_string();
            result.map_err(wrong).map_err(|problem| GivenError::WrongValue { number, key, problem })?;
        }
        Ok(())
    }

    /// Gives objects what only an API server gives, always the same: a UID, also in the references to their owners.
    fn complete(&mut self) {
        for (index, object) in self.objects.iter_mut().enumerate() {
            if object::uid(object).is_none() {
                object["metadata"]["uid"] = format!("00000000-0000-0000-0000-{index:012x}").into();
            }
        }
        let uids: Vec<(ObjectRef, Value)> = self
            .objects
            .iter()
            .filter_map(|object| Some((ObjectRef::of(object)?, object["metadata"]["uid"].clone())))
            .collect();
        for object in &mut self.objects {
            let namespace = object::namespace(object).map(str::to_owned);
            let owners = object.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut);
            for owner in owners.into_iter().flatten().filter(|owner| owner.get("uid").is_none()) {
                let uid = uids.iter().find(|(name, _)| {
                    Gvk::of(owner).as_ref() == Some(&name.gvk)
                        && owner["name"] == *name.name
                        && (name.namespace.is_none() || name.namespace == namespace)
                });
                if let Some((_, uid)) = uid {
                    owner["uid"] = uid.clone();
                }
            }
        }
    }

    /// The objects of a kind with these names, as an object in `namespace` refers to them.
    pub(super) fn referred(&self, gvk: &Gvk, names: &[&str], namespace: Option<&str>) -> Vec<Value> {
        let is_one = |object: &&Value| {
            let Key { namespace: place, name } = Key::of(object);
            let is_near = place.is_none() || namespace.is_none() || place.as_deref() == namespace;
            Gvk::of(object).as_ref() == Some(gvk) && is_near && names.contains(&name.as_str())
        };
        self.objects.iter().filter(is_one).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::contract::TriggerType;

    #[test]
    fn objects_and_the_rest_of_the_state_are_told_apart() {
        let given = Given::read(
            "{apiVersion: v1, kind: Pod, metadata: {name: p}}\n---\nattempt: 2\nvalues: {a: 1}\n---\n\
             triggers: [{type: Updated}]\nwatched: {secret.v1: [{a: 1}]}\n",
        )
        .unwrap();
        assert_eq!(given.objects.len(), 1);
        assert_eq!((given.attempt, &given.values["a"]), (2, &json!(1)));
        assert_eq!(given.triggers.unwrap(), [Trigger::plain(TriggerType::Updated)]);
        assert_eq!(given.watched["secret.v1"], [json!({"a": 1})]);
    }

    #[test]
    fn uids_are_made_up_always_the_same_and_owners_get_theirs() {
        let text = "{apiVersion: g/v1, kind: A, metadata: {name: a, namespace: team}}\n---\n\
                    apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  namespace: team\n  ownerReferences:\n  \
                    - {apiVersion: g/v1, kind: A, name: a}\n  - {apiVersion: g/v1, kind: A, name: b}\n  - {apiVersion: g/v1, kind: A, name: a, uid: x}\n";
        let objects = Given::read(text).unwrap().objects;
        assert_eq!(object::uid(&objects[0]), Some("00000000-0000-0000-0000-000000000000"));
        assert_eq!(object::uid(&objects[1]), Some("00000000-0000-0000-0000-000000000001"));
        assert_eq!(
            object::owner_uids(&objects[1]).collect::<Vec<_>>(),
            ["00000000-0000-0000-0000-000000000000", "x"]
        );
    }

    #[test]
    fn references_are_looked_for_nearby() {
        let pod = |name: &str, namespace: &str| {
            format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: {namespace}}}}}\n---\n"
            )
        };
        let given = Given::read(&[pod("a", "team"), pod("a", "m"), pod("b", "team")].concat()).unwrap();
        let found = given.referred(&Gvk::new("", "v1", "Pod"), &["a", "c"], Some("team"));
        assert_eq!(found.iter().map(|pod| Key::of(pod).to_string()).collect::<Vec<_>>(), ["team/a"]);
        assert_eq!(given.referred(&Gvk::new("", "v2", "Pod"), &["a"], Some("team")), Vec::<Value>::new());
    }

    #[test]
    fn mistakes_are_named() {
        for (text, message) in [
            ("a: [", "not YAML: line 1, column 4: unclosed bracket"),
            ("kind: Pod", "document 1 lacks `apiVersion` and `kind`, which every object has"),
            ("apiVersion: v1\nkind: Pod", "document 1 lacks `metadata.name`, which every object has"),
            (
                "attempt: 1\n---\n- 1",
                "document 2 is neither an object nor a map of triggers, values, attempt, watched",
            ),
            ("trigger: []", "document 1 has the unknown key `trigger`; did you mean `triggers`?"),
            (
                "object: {}",
                "document 1 has the unknown key `object`; there are triggers, values, attempt, watched",
            ),
            (
                "triggers: [{type: Sometimes}]",
                "`triggers` in document 1 is wrong: unknown variant `Sometimes`",
            ),
            ("attempt: -1", "`attempt` in document 1 is wrong: invalid value: integer `-1`"),
        ] {
            let error = Given::read(text).unwrap_err().to_string();
            assert!(error.starts_with(message), "{text}: {error}");
        }
    }
}
