//! One handler: it makes the cluster equal to a helmfile.

pub mod fetch;
