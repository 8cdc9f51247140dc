//! Writing to the API server.

use kube::{
    Client, ResourceExt as _,
    api::{
        DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams, Preconditions,
        PropagationPolicy,
    },
    core::Request,
};
use serde_json::Value;

use super::{
    cache::Fingerprint,
    describe,
    discovery::{Served, to_json},
    fold::fold,
    in_time,
};
use crate::object::{Key, ObjectRef};

/// Where a write goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Everything but status.
    Main,
    /// The status subresource.
    Status,
}

/// A write that was refused or did not arrive.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} {object}: {}", describe(.source))]
pub struct WriteError {
    /// What we tried, as a verb.
    pub action: &'static str,
    /// On what.
    pub object: ObjectRef,
    /// What came back.
    source: kube::Error,
}

/// An object right after it was written.
#[derive(Debug, Clone)]
pub struct Written {
    /// The object without `managedFields`.
    pub object: Value,
    /// What tells its later changes apart.
    pub print: Fingerprint,
    /// The versions that it went through on the way, all made by us.
    pub passed: Vec<String>,
}

/// What a caller can do about a refused write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Somebody changed the object in between: look again and decide anew.
    Stale,
    /// Somebody else owns a field.
    FieldConflict,
    /// The object is gone.
    NotFound,
    /// There is one of that name already.
    Exists,
    /// We have no right to.
    Forbidden,
    /// It is not what the API server takes for such an object.
    Invalid,
    /// Anything else.
    Other,
}

impl WriteError {
    /// The fields that somebody else owns, when that is why it was refused.
    pub fn conflicts(&self) -> impl Iterator<Item = &str> {
        let details = match &self.source {
            kube::Error::Api(status) => status.details.as_ref(),
            _ => None,
        };
        let causes = details.into_iter().flat_map(|details| &details.causes);
        causes.filter(|cause| cause.reason == "FieldManagerConflict").map(|cause| cause.field.as_str())
    }

    /// What kind of refusal it is.
    pub fn refusal(&self) -> Refusal {
        let kube::Error::Api(status) = &self.source else { return Refusal::Other };
        // Both are 409 (RULES 14); only the causes tell them apart.
        let field = self.conflicts().next().is_some();
        match status.code {
            409 if field => Refusal::FieldConflict,
            409 if status.reason == "AlreadyExists" => Refusal::Exists,
            409 => Refusal::Stale,
            404 => Refusal::NotFound,
            403 => Refusal::Forbidden,
            400 | 422 => Refusal::Invalid,
            _ => Refusal::Other,
        }
    }
}

/// Writes objects.
#[derive(Clone)]
pub struct Writer {
    client: Client,
}

impl Writer {
    /// Writes with this client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Creates an object. Returns it as it is then.
    ///
    /// Its fields are the manager's as by an update; [`Self::apply_whole`] makes them its own when it comes to that.
    ///
    /// # Errors
    /// [`Refusal::Exists`], or whatever the API server says.
    pub async fn create(
        &self,
        served: &Served,
        object: &Value,
        manager: &str,
    ) -> Result<Written, WriteError> {
        let key = Key::of(object);
        let params = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
        let name = key.of_kind(&served.gvk);
        let failed = |source| WriteError { action: "create", object: name.clone(), source };
        let api = served.api_of(&self.client, &key);
        let body = serde_json::to_vec(object).map_err(|error| failed(kube::Error::SerdeError(error)))?;
        let request = Request::new(api.resource_url()).create(&params, body);
        let mut request = request.map_err(|error| failed(kube::Error::BuildRequest(error)))?;
        // As strict as an apply is: a field that the kind does not have is an error, and not dropped without a word.
        if let Ok(strict) = format!("{}&fieldValidation=Strict", request.uri()).parse() {
            *request.uri_mut() = strict;
        }
        let written = in_time(self.client.request::<DynamicObject>(request)).await.map_err(failed)?;
        Ok(seen(served, written))
    }

    /// Server-side apply of a part of an object: what the manager wrote by other ways stays. Returns the object as it is
    /// now.
    ///
    /// # Errors
    /// A conflict with another field manager unless `force`, or whatever the API server says.
    pub async fn apply(
        &self,
        served: &Served,
        object: &Value,
        manager: &str,
        force: bool,
        part: Part,
    ) -> Result<Written, WriteError> {
        let mut params = PatchParams::apply(manager);
        params.force = force;
        let key = Key::of(object);
        let written = self.patch(served, "apply", &key, &params, Patch::Apply(object), part).await?;
        Ok(seen(served, written))
    }

    /// Server-side apply by force of all that the manager wants of an object: what it wrote before, by whatever way, and
    /// leaves out now, goes (RULES 14). Returns the object as it is now.
    ///
    /// # Errors
    /// Whatever the API server says.
    pub async fn apply_whole(
        &self,
        served: &Served,
        object: &Value,
        manager: &str,
    ) -> Result<Written, WriteError> {
        let params = PatchParams::apply(manager).force();
        let key = Key::of(object);
        let apply = || self.patch(served, "apply", &key, &params, Patch::Apply(object), Part::Main);
        let written = apply().await?;
        let Some(entries) = fold(written.managed_fields(), manager) else { return Ok(seen(served, written)) };
        let folded = serde_json::json!({"metadata": {"resourceVersion": written.resource_version(), "managedFields": entries}});
        let as_ours = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        let between = self.patch(served, "patch", &key, &as_ours, Patch::Merge(&folded), Part::Main).await?;
        let passed = [written.resource_version(), between.resource_version()].into_iter().flatten().collect();
        Ok(Written { passed, ..seen(served, apply().await?) })
    }

    /// JSON merge patch. With a `metadata.resourceVersion` in it, only that version is changed.
    ///
    /// # Errors
    /// [`Refusal::Stale`] when the object has another version by now, or whatever the API server says.
    pub async fn merge(
        &self,
        served: &Served,
        key: &Key,
        patch: &Value,
        manager: &str,
        part: Part,
    ) -> Result<Written, WriteError> {
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        let written = self.patch(served, "patch", key, &params, Patch::Merge(patch), part).await?;
        Ok(seen(served, written))
    }

    async fn patch(
        &self,
        served: &Served,
        action: &'static str,
        key: &Key,
        params: &PatchParams,
        patch: Patch<&Value>,
        part: Part,
    ) -> Result<DynamicObject, WriteError> {
        let api = served.api_of(&self.client, key);
        let call = async {
            match part {
                Part::Main => api.patch(&key.name, params, &patch).await,
                Part::Status => api.patch_status(&key.name, params, &patch).await,
            }
        };
        in_time(call).await.map_err(|source| WriteError { action, object: key.of_kind(&served.gvk), source })
    }

    /// Deletes exactly this object: one of the same name with another UID is left alone. Gone already is fine. Returns the
    /// object's version when it is still there, waiting for its finalizers.
    ///
    /// # Errors
    /// Whatever the API server says.
    pub async fn delete(
        &self,
        served: &Served,
        key: &Key,
        uid: &str,
        version: Option<&str>,
    ) -> Result<Option<String>, WriteError> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: version.map(str::to_owned),
            }),
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        let api = served.api_of(&self.client, key);
        match in_time(api.delete(&key.name, &params)).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(source) => Err(WriteError { action: "delete", object: key.of_kind(&served.gvk), source }),
            // Some kinds are given back though they are gone already.
            Ok(left) => Ok(left
                .left()
                .filter(|object| is_held(&object.metadata))
                .and_then(|object| object.metadata.resource_version)),
        }
    }
}

/// Whether an object that is being deleted is still there.
fn is_held(meta: &ObjectMeta) -> bool {
    let waits = meta.deletion_grace_period_seconds.is_some_and(|seconds| seconds > 0);
    let has_finalizers = meta.finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty());
    meta.deletion_timestamp.is_some() && (waits || has_finalizers)
}

fn seen(served: &Served, object: DynamicObject) -> Written {
    let print = Fingerprint::of(&object.metadata);
    Written { object: to_json(&served.gvk, object), print, passed: Vec::new() }
}
