//! The handler of helmfiles: makes the cluster equal to what real helmfile, helm and kustomize make of a source.

pub mod diff;
pub mod helm;
