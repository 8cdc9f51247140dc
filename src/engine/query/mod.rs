//! Stub.
use crate::contract::Trigger;
use serde_json::{Map, Value};
#[derive(Debug)]
pub struct JsonPath(String);
#[derive(Debug)]
pub struct Condition(String);
#[derive(Debug)]
pub struct Schedule(String);
#[derive(Debug)]
pub struct NamespacePatterns(Vec<String>);
#[derive(Debug)]
pub struct LabelSelector(String);
pub struct Facts<'a> {
    pub object: &'a Value,
    pub old: Option<&'a Value>,
    pub trigger: Option<&'a Trigger>,
}
impl JsonPath {
    pub fn compile(t: &str) -> Result<Self, String> {
        Ok(Self(t.into()))
    }
    pub fn find<'v>(&self, _: &'v Value) -> Vec<&'v Value> {
        vec![]
    }
}
impl Condition {
    pub fn compile(t: &str) -> Result<Self, String> {
        Ok(Self(t.into()))
    }
    pub fn holds(&self, _: &Facts<'_>) -> Result<bool, String> {
        Ok(true)
    }
}
impl Schedule {
    pub fn parse(t: &str) -> Result<Self, String> {
        Ok(Self(t.into()))
    }
    pub fn next_after(&self, _: jiff::Timestamp) -> Option<jiff::Timestamp> {
        None
    }
}
impl NamespacePatterns {
    pub fn compile(t: &[String]) -> Result<Self, String> {
        Ok(Self(t.into()))
    }
    pub fn exact(&self) -> Option<Vec<String>> {
        None
    }
    pub fn matches(&self, _: &str) -> bool {
        true
    }
}
impl LabelSelector {
    pub fn parse(t: &str) -> Result<Self, String> {
        Ok(Self(t.into()))
    }
    pub fn matches(&self, _: Option<&Map<String, Value>>) -> bool {
        true
    }
}
impl std::fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
