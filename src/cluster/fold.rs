//! Makes fields that we once wrote by a patch ours by apply, so that a later apply can remove them (RULES 14).
//!
//! A patch makes its manager the owner by `Update`; an apply in the same name is another owner, and what it leaves out
//! stays for ever because the first still owns it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
use serde_json::Value;

/// The entries with those that `manager` made by Update folded into the one it made by Apply; `None` when there is nothing
/// to fold.
pub(super) fn fold(entries: &[ManagedFieldsEntry], manager: &str) -> Option<Vec<ManagedFieldsEntry>> {
    let ours = |entry: &ManagedFieldsEntry, operation: &str| {
        entry.manager.as_deref() == Some(manager)
            && entry.operation.as_deref() == Some(operation)
            && entry.subresource.is_none()
    };
    let (updates, mut rest): (Vec<_>, Vec<_>) =
        entries.iter().cloned().partition(|entry| ours(entry, "Update"));
    if updates.is_empty() {
        return None;
    }
    let applied = rest.iter_mut().find(|entry| ours(entry, "Apply"))?;
    let fields = applied.fields_v1.get_or_insert_with(|| FieldsV1(Value::Object(serde_json::Map::new())));
    for update in updates {
        if let Some(FieldsV1(theirs)) = update.fields_v1 {
            unite(&mut fields.0, theirs);
        }
    }
    Some(rest)
}

fn unite(fields: &mut Value, more: Value) {
    let (Value::Object(fields), Value::Object(more)) = (fields, more) else { return };
    for (field, below) in more {
        match fields.get_mut(&field) {
            Some(known) => unite(known, below),
            None => {
                fields.insert(field, below);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(
        manager: &str,
        operation: &str,
        subresource: Option<&str>,
        fields: &Value,
    ) -> ManagedFieldsEntry {
        serde_json::from_value(json!({"manager": manager, "operation": operation, "apiVersion": "v1",
            "subresource": subresource, "fieldsType": "FieldsV1", "fieldsV1": fields}))
        .unwrap()
    }

    #[test]
    fn updates_of_ours_become_part_of_the_apply() {
        let entries = [
            entry("us", "Apply", None, &json!({"f:data": {"f:a": {}}})),
            entry(
                "us",
                "Update",
                None,
                &json!({"f:data": {"f:b": {}}, "f:metadata": {"f:labels": {"f:l": {}}}}),
            ),
            entry("us", "Update", Some("status"), &json!({"f:status": {}})),
            entry("them", "Update", None, &json!({"f:data": {"f:c": {}}})),
        ];
        let folded = fold(&entries, "us").unwrap();
        assert_eq!(folded.len(), 3);
        assert_eq!(
            folded[0].fields_v1.as_ref().unwrap().0,
            json!({"f:data": {"f:a": {}, "f:b": {}}, "f:metadata": {"f:labels": {"f:l": {}}}})
        );
        assert_eq!(fold(&folded, "us"), None);
    }
}
