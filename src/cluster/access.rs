//! Asks the API server what we may do.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::{
    Client,
    api::{Api, PostParams},
};

use super::{describe, in_time};

/// One thing to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Act {
    /// In the words of RBAC, for example `list`.
    pub verb: String,
    /// API group; empty for the core group.
    pub group: String,
    /// In the plural, for example `configmaps`.
    pub resource: String,
    /// For example `status`.
    pub subresource: Option<String>,
    /// Where; none is everywhere, or in no namespace where the kind has none.
    pub namespace: Option<String>,
}

/// The API server did not say.
#[derive(Debug, thiserror::Error)]
#[error("failed to ask the API server whether we may {verb} `{resource}`: {reason}")]
pub struct AccessError {
    /// What.
    pub verb: String,
    /// To what.
    pub resource: String,
    /// Why there is no answer.
    pub reason: String,
}

/// Whether we may do it, by a `SelfSubjectAccessReview`, which everybody may make.
///
/// # Errors
/// When the API server does not answer.
pub async fn may(client: &Client, act: &Act) -> Result<bool, AccessError> {
    let attributes = ResourceAttributes {
        verb: Some(act.verb.clone()),
        group: Some(act.group.clone()),
        resource: Some(act.resource.clone()),
        subresource: act.subresource.clone(),
        namespace: act.namespace.clone(),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = in_time(reviews.create(&PostParams::default(), &review)).await;
    let answer = answer.map_err(|error| AccessError {
        verb: act.verb.clone(),
        resource: act.resource.clone(),
        reason: describe(&error),
    })?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
