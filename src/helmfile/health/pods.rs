//! Reads the pods of a workload, and the end of the log of one that has crashed.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Client,
    api::{Api, ListParams, LogParams},
};
use serde_json::Value;

use super::workload::{self, Crash, Pods, Trouble};
use crate::{cluster::in_time, object};

/// How many pods of a workload are read: those of one workload mostly suffer from the same.
const PODS: u32 = 100;
/// How many lines of a log are kept.
const LINES: usize = 5;
/// How many bytes of these lines are kept.
const BYTES: usize = 500;
/// How many bytes of a log are read; lines can be of any length.
const READ_BYTES: i64 = 64 * 1024;

/// Why an object is not current.
pub(super) struct Cause {
    pub(super) text: String,
    pub(super) log: Option<String>,
}

/// Looks for the cause in the pods of an object. What may not be read is left out.
pub(super) async fn cause(client: &Client, object: &Value) -> Option<Cause> {
    let api: Api<Pod> = match object::namespace(object) {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => return None,
    };
    let troubled = match workload::pods(object)? {
        Pods::Itself => workload::worst(std::slice::from_ref(object)),
        Pods::Selected(selector) => workload::worst(&select(&api, &selector).await),
    };
    let Trouble { text, crash } = troubled.or_else(|| workload::refused(object))?;
    let log = match crash {
        Some(crash) => log(&api, &crash).await,
        None => None,
    };
    Some(Cause { text, log })
}

/// The pods with these labels; none when they can't be read.
async fn select(api: &Api<Pod>, selector: &str) -> Vec<Value> {
    let params = ListParams::default().labels(selector).limit(PODS);
    let pods = in_time(api.list(&params)).await.map(|list| list.items).unwrap_or_default();
    pods.iter().filter_map(|pod| serde_json::to_value(pod).ok()).collect()
}

/// The last lines that a container has written before it crashed; nothing when they can't be read.
async fn log(api: &Api<Pod>, crash: &Crash) -> Option<String> {
    let params = LogParams {
        container: Some(crash.container.clone()),
        previous: crash.previous,
        tail_lines: i64::try_from(LINES).ok(),
        limit_bytes: Some(READ_BYTES),
        ..LogParams::default()
    };
    tail(&in_time(api.logs(&crash.pod, &params)).await.ok()?)
}

/// The end of a log: at most 5 lines and 500 bytes, without control characters.
fn tail(log: &str) -> Option<String> {
    let lines: Vec<&str> = log.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let lines = lines.get(lines.len().saturating_sub(LINES)..)?.join("\n");
    let lines = lines.replace('\t', " ");
    let plain: String = lines.chars().filter(|letter| *letter == '\n' || !letter.is_control()).collect();
    let (_, end) = plain.split_at(plain.ceil_char_boundary(plain.len().saturating_sub(BYTES)));
    (!end.is_empty()).then(|| end.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_log_the_end_is_kept() {
        assert_eq!(tail("1\n2\n\n3\r\n4\n5\n6 \n").as_deref(), Some("2\n3\n4\n5\n6"));
        assert_eq!(tail("one\u{7}\ttwo").as_deref(), Some("one two"));
        assert_eq!((tail(""), tail("\n\n")), (None, None));
        let long = tail(&format!("start {}ä end", "ä".repeat(300))).unwrap();
        assert!(long.len() <= BYTES && long.len() > BYTES - 2 && long.ends_with("ä end"), "{long}");
    }
}
