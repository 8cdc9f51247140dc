//! From helmfile's report of an error to a reason and one sentence.

use super::{
    Failure, Scrub,
    report::{self, Report},
};
use crate::{helmfile::api::names::reason, process::Status};

/// Explains a failed run.
pub(crate) fn explain(lines: &[String], status: Status, scrub: &Scrub) -> Failure {
    let (reason, message) = match Report::find(lines) {
        Some(report) => explain_report(&report),
        None => unreported(lines, status),
    };
    let others = match report::failed_releases(lines) {
        0 | 1 => String::new(),
        2 => "; one more release failed".to_owned(),
        several => format!("; {} more releases failed", several - 1),
    };
    Failure::new(reason, &(message + &others), scrub)
}

/// A run that ended without a report: a crash, or arguments that this version of helmfile does not know.
fn unreported(lines: &[String], status: Status) -> (&'static str, String) {
    let all = lines.iter().map(String::as_str);
    if let Some(crash) = report::crash(all.clone()) {
        return (reason::FAILED, format!("helmfile crashed: {crash}"));
    }
    let last = all.rev().map(str::trim).find(|line| !line.is_empty());
    (
        reason::FAILED,
        last.map_or_else(
            || format!("helmfile failed with {status}"),
            |line| format!("helmfile failed: {line}"),
        ),
    )
}

fn explain_report(report: &Report<'_>) -> (&'static str, String) {
    let head = report.head.first().copied().unwrap_or_default();
    let missing = missing_program(head).map(|program| format!("`{program}` is not on PATH"));
    if let Some(hook) = between(head, "hook[", "]") {
        let release = release_of(head).map(|name| format!(" of release `{name}`")).unwrap_or_default();
        // What a hook prints is its own business, and may be a secret.
        let why = missing.unwrap_or_else(|| exit_of(report, head));
        return (reason::HOOK_FAILED, format!("the hook `{hook}`{release} failed: {why}"));
    }
    if let Some(missing) = missing {
        return (reason::PROGRAM_NOT_FOUND, missing);
    }
    let args = report.args();
    if args.first().is_some_and(|program| program.ends_with("helm")) {
        return explain_helm(report, &args, head);
    }
    if report.has("OUTPUT") {
        let output = report.section("OUTPUT");
        let text = error_text(output).unwrap_or_else(|| output.join("\n"));
        return (reason::RENDER_FAILED, format!("kustomize failed: {}", innermost(&text)));
    }
    if report.has("STDERR") || head.contains("exited with non-zero status") {
        let called = head.split_once(": error calling ").map_or(head, |(place, _)| place);
        return (
            reason::HELMFILE_INVALID,
            in_file(report, &format!("{}: {}", template(called), exit_of(report, head))),
        );
    }
    explain_head(report)
}

/// A failed helm, by its subcommand.
fn explain_helm(report: &Report<'_>, args: &[&str], head: &str) -> (&'static str, String) {
    let stderr = report.section("STDERR");
    let combined = report.section("COMBINED OUTPUT");
    let crash = report::crash(stderr.iter().copied()).map(|line| format!("helm crashed: {line}"));
    let cause = crash
        .or_else(|| unreachable_repository(combined))
        .or_else(|| error_text(stderr))
        .or_else(|| error_text(combined))
        .unwrap_or_else(|| exit_of(report, head));
    let argument = release_arguments(args);
    let name = release_of(head).or(argument.map(|(name, _)| name)).unwrap_or("?");
    if let (Some(repository), Some((_, chart))) = (missing_repository(&cause), argument) {
        let cause = format!("the source has no such folder, and the helmfile no repository `{repository}`");
        return (reason::CHART_UNAVAILABLE, format!("release `{name}`: chart `{chart}` not found: {cause}"));
    }
    if let Some(chart) = missing_path(&cause) {
        let message = format!("release `{name}`: chart `{chart}` does not exist in the source");
        return (reason::CHART_UNAVAILABLE, message);
    }
    let (by_command, what) = match args.get(1..).unwrap_or_default() {
        ["diff", ..] => (reason::RENDER_FAILED, format!("release `{name}` failed to render")),
        ["upgrade", ..]
            if combined.iter().any(|line| line.ends_with("does not exist. Installing it now.")) =>
        {
            (reason::UPGRADE_FAILED, format!("release `{name}` failed to install"))
        }
        ["upgrade", ..] => (reason::UPGRADE_FAILED, format!("release `{name}` failed to upgrade")),
        ["delete" | "uninstall", ..] => {
            (reason::UNINSTALL_FAILED, format!("release `{name}` failed to uninstall"))
        }
        ["repo", "add", repository, ..] => {
            (reason::CHART_UNAVAILABLE, format!("repository `{repository}` failed"))
        }
        ["pull" | "fetch", chart, ..] => {
            (reason::CHART_UNAVAILABLE, format!("chart `{chart}` failed to download"))
        }
        ["dependency" | "dep", _, chart, ..] => {
            (reason::CHART_UNAVAILABLE, format!("dependencies of chart `{chart}` failed to download"))
        }
        ["repo" | "registry", ..] => (reason::CHART_UNAVAILABLE, "a chart repository failed".to_owned()),
        [command, ..] => (reason::FAILED, format!("`helm {command}` failed")),
        [] => (reason::FAILED, "helm failed".to_owned()),
    };
    let reason = reason_in(&cause).unwrap_or(by_command);
    let hint = hint(reason, &cause);
    (reason, format!("{what}: {cause}{hint}"))
}

/// What to do, where helm's words leave that open.
fn hint(reason: &str, cause: &str) -> &'static str {
    match reason {
        reason::RELEASE_LOCKED => {
            "; when no helm is running, roll the release back or delete its newest Secret of type helm.sh/release.v1"
        }
        // helmfile asks helm to create the namespace unless told not to, and Helm 4 writes to one that exists.
        reason::FORBIDDEN if cause.contains("resource \"namespaces\"") => {
            "; with rights in one namespace only, set `helmDefaults: {createNamespace: false}` in the helmfile"
        }
        reason::CHART_UNAVAILABLE if wants_credentials(cause) => {
            "; its credentials in `registries` are missing or wrong"
        }
        _ if cause.contains("Secret \"sh.helm.release.") && cause.contains("Too long") => {
            "; Helm keeps the whole chart and all it renders to in that Secret: leave files out with .helmignore, or split the chart"
        }
        reason::UPGRADE_FAILED if cause.contains("namespaces \"") && cause.ends_with("\" not found") => {
            "; create it, or leave that to helm with `createNamespace: true` in the helmfile"
        }
        _ => "",
    }
}

/// Whether a repository or registry does not let us in.
fn wants_credentials(cause: &str) -> bool {
    let cause = cause.to_ascii_lowercase();
    ["401 unauthorized", "403 forbidden", "status code 401", "status code 403"]
        .iter()
        .any(|words| cause.contains(words))
}

/// Causes that are told by their words, whichever command met them.
fn reason_in(cause: &str) -> Option<&'static str> {
    let has = |words: &str| cause.contains(words);
    if has("another operation (install/upgrade/rollback) is in progress") {
        Some(reason::RELEASE_LOCKED)
    } else if has("Apply failed with") && has("conflict") {
        Some(reason::CONFLICT)
    } else if has("is forbidden: User") {
        Some(reason::FORBIDDEN)
    } else if has("ubernetes cluster unreachable") || has("ServiceError: client error (Connect)") {
        Some(reason::CLUSTER_UNREACHABLE)
    } else {
        None
    }
}

/// A report without a command: helmfile itself is not content.
fn explain_head(report: &Report<'_>) -> (&'static str, String) {
    let text = report.head.join("\n");
    let release = release_of(&text);
    let cause = match release {
        Some(_) => text.split_once(": ").map_or(text.as_str(), |(_, cause)| cause),
        None => &text,
    };
    let reason = if cause.contains(" file matching ") && cause.contains(" does not exist") {
        reason::FILE_NOT_FOUND
    } else if cause.starts_with("expand ") {
        reason::VALUE_UNAVAILABLE
    } else {
        reason::HELMFILE_INVALID
    };
    match release {
        Some(name) => (reason, format!("release `{name}`: {}", template(cause))),
        None => (reason, in_file(report, &template(cause))),
    }
}

/// Puts the helmfile's path in front, in place of its bare name where that is there already.
fn in_file(report: &Report<'_>, text: &str) -> String {
    let Some(file) = report.file else { return text.to_owned() };
    let name = file.rsplit('/').next().unwrap_or(file);
    match text.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")) {
        Some(rest) => format!("{file}: {rest}"),
        None if text.contains(file) => text.to_owned(),
        None => format!("{file}: {text}"),
    }
}

/// Helmfile's and Go's words around the place and cause of a template's or a file's error, made short.
fn template(text: &str) -> String {
    const ADVICE: &str = "Started seeing this since Helmfile v1? Add the .gotmpl file extension: ";
    // The advice stands before every error of the parser, and makes sense before those of its syntax only.
    let may_be_templated = text.contains(ADVICE) && !text.contains(" not found in type ");
    let mut short = text.replace(ADVICE, "").replace(". yaml: ", ": ").replace(": yaml: ", ": ");
    if let Some(rest) =
        short.strip_prefix("failed to read ").and_then(|rest| rest.split_once(": reading document at index "))
    {
        // `helmfile.yaml: reading document at index 1. yaml: line 2: …`
        let cause = rest.1.split_once(": ").map_or(rest.1, |(_, cause)| cause);
        short = format!("{}: {cause}", rest.0);
    }
    if let Some((before, rest)) = short.split_once("template: stringTemplate:") {
        let file = between(before, "failed to render [", "]").map(|file| format!("{file}: "));
        let place = rest.replace("executing \"stringTemplate\" ", "");
        short = format!("{}line {place}", file.unwrap_or_default());
    }
    for (words, shorter) in [
        ("unmarshal errors:", ""),
        (" in type state.helmStateAlias", ""),
        (" in type state.ReleaseSpec", " in a release"),
    ] {
        short = short.replace(words, shorter);
    }
    if may_be_templated {
        short.push_str(" (a helmfile with templates needs the extension .gotmpl)");
    }
    short.trim().to_owned()
}

/// What helm says after `Error: `, or our diff plugin after `error: `, without helm's advice and without its own line on
/// a plugin that failed.
fn error_text(lines: &[&str]) -> Option<String> {
    let is_error = |line: &str| line.starts_with("Error: ") || line.starts_with("error: ");
    let start = lines.iter().position(|line| is_error(line) && !line.starts_with("Error: plugin "))?;
    let (first, rest) = lines.get(start..)?.split_first()?;
    let mut cause = first.split_once(": ").map_or(*first, |(_, cause)| cause);
    for prefix in ["UPGRADE FAILED: ", "INSTALLATION FAILED: "] {
        cause = cause.strip_prefix(prefix).unwrap_or(cause);
    }
    let chart = cause.strip_prefix("failed to render chart `").and_then(|rest| rest.split_once("`: "));
    let cause = chart.map_or(cause, |(_, cause)| cause);
    // The API client prints the server's answer as Rust has it, after having said the same in words.
    let cause = cause.split_once(" (Status {").map_or(cause, |(words, _)| words);
    let mut text = cause.replace("ApiError: ", "");
    for line in rest.iter().take_while(|line| !is_error(line) && !line.starts_with("Use --debug ")) {
        text.push('\n');
        text.push_str(line);
    }
    text.truncate(text.trim_end().len());
    Some(text)
}

/// Helm names the repository that did not answer in a line before its error, which speaks of a missing cache only.
fn unreachable_repository(lines: &[&str]) -> Option<String> {
    let at = lines.iter().position(|line| line.starts_with("...Unable to get an update from the "))?;
    let why = lines.get(at + 1).map(|line| line.trim()).unwrap_or_default();
    Some(format!("{} {why}", lines.get(at)?.trim_start_matches("...").trim()))
}

/// The last of kustomize's nested causes.
fn innermost(text: &str) -> &str {
    let last = text.rsplit_once("accumulation err='").map_or(text, |(_, last)| last);
    last.split_once("': must build at directory").map_or(last, |(cause, _)| cause)
}

/// `failed processing release NAME: …` or `release "NAME": …`.
fn release_of(head: &str) -> Option<&str> {
    let named = head.strip_prefix("failed processing release ").and_then(|rest| rest.split_once(':'));
    named.map(|(name, _)| name).or_else(|| between(head, "release \"", "\": command"))
}

/// Release and chart among helm's arguments: they follow the flag that helmfile puts before them.
fn release_arguments<'a>(args: &[&'a str]) -> Option<(&'a str, &'a str)> {
    let flag = args.iter().position(|arg| ["--allow-unreleased", "--install"].contains(arg))?;
    Some((*args.get(flag + 1)?, *args.get(flag + 2)?))
}

/// `repo NAME not found` is helm's word for a chart that is no folder and in no repository.
fn missing_repository(cause: &str) -> Option<&str> {
    cause.strip_prefix("repo ")?.strip_suffix(" not found")
}

/// The path of a chart that does not exist. Helm has one sentence for a path that can only be one, and another for what could
/// be in a repository as well.
fn missing_path(cause: &str) -> Option<&str> {
    const OTHER: &str = "non-absolute URLs should be in form of repo_name/path_to_chart, got: ";
    let path = cause.strip_prefix("path \"").and_then(|rest| rest.strip_suffix("\" not found"));
    path.or_else(|| cause.split_once(OTHER).map(|(_, chart)| chart.trim()))
}

/// The program in Go's words for one that is not there.
fn missing_program(head: &str) -> Option<&str> {
    head.contains("executable file not found in $PATH").then(|| between(head, "exec: \"", "\"")).flatten()
}

fn exit_of(report: &Report<'_>, head: &str) -> String {
    match report.section("EXIT STATUS").first() {
        Some(code) => format!("exit status {code}"),
        None => head.rsplit(": ").next().unwrap_or(head).to_owned(),
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.split_once(start)?.1.split_once(end).map(|(inner, _)| inner)
}
