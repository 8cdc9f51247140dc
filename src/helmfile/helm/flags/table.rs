//! All flags there are.

use std::fmt::Write as _;

use Form::{Optional, Switch, Value};
use Role::{NoEffect, Ours, Template, Unsupported, Values};

/// How a flag is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `--flag`, `--flag=true`, `--flag=false`.
    Switch,
    /// `--flag VALUE`, `--flag=VALUE`.
    Value,
    /// `--flag`, `--flag=VALUE`.
    Optional,
}

/// What becomes of a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Handed to `helm template` as it is.
    Template,
    /// Handed to `helm template`, and looked at for what it can contain: values.
    Values,
    /// Ours.
    Ours,
    /// Accepted and without effect, for the given reason.
    NoEffect,
    /// Upstream's, and refused here.
    Unsupported,
}

/// A flag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag {
    /// Without its dashes.
    pub(super) name: &'static str,
    /// Its one letter.
    pub(super) short: Option<char>,
    /// How it is written.
    pub(super) form: Form,
    /// What becomes of it.
    pub(super) role: Role,
    /// What it is for, or why it has no effect.
    pub(super) help: &'static str,
}

const fn flag(name: &'static str, form: Form, role: Role, help: &'static str) -> Flag {
    Flag { name, short: None, form, role, help }
}

const fn short(letter: char, flag: Flag) -> Flag {
    Flag { short: Some(letter), ..flag }
}

/// All flags, in the order of the help.
#[rustfmt::skip] // A table.
pub(super) const FLAGS: &[Flag] = &[
    flag("allow-unreleased", Switch, Ours, "a release that is not deployed is new, rather than an error"),
    flag("install", Switch, Ours, "the same"),
    flag("detailed-exitcode", Switch, Ours, "exit with 2 when there are changes"),
    short('C', flag("context", Value, Ours, "lines shown around a change; all by default")),
    flag("color", Switch, Ours, "use colours even when stdout is no terminal"),
    flag("no-color", Switch, Ours, "use no colours"),
    flag("output", Value, Ours, "format of the output: diff, simple, json or structured"),
    flag("suppress", Value, Ours, "don't show what differs in objects of this kind (repeatable); they still count as changes"),
    short('q', flag("suppress-secrets", Switch, Ours, "the same for Secrets")),
    flag("show-secrets", Switch, Ours, "show the values of Secrets"),
    flag("show-secrets-decoded", Switch, Ours, "show the values of Secrets without their base64"),
    flag("suppress-output-line-regex", Value, Ours, "don't show lines that match (repeatable); they still count as changes"),
    flag("three-way-merge", Switch, Ours, "compare the live objects with what an upgrade would make of them"),
    flag("include-tests", Switch, Ours, "compare the hooks that `helm test` runs, too"),
    flag("no-hooks", Switch, Ours, "compare no hooks"),
    flag("reset-values", Switch, Ours, "forget the values of the deployed release"),
    flag("reuse-values", Switch, Ours, "put the given values over those of the deployed release and its chart"),
    flag("reset-then-reuse-values", Switch, Ours, "put the given values over those of the deployed release"),
    flag("dry-run", Optional, Ours, "how to render: `server` or `client`; by default as the chart needs it"),
    flag("validate", Switch, Ours, "the same as --dry-run=server"),
    flag("disable-validation", Switch, Ours, "don't check objects against the cluster's API when rendering on the server"),
    short('n', flag("namespace", Value, Ours, "namespace of the release; helm takes this flag itself")),
    flag("kube-context", Value, Ours, "context of the kubeconfig; helm takes this flag itself"),
    flag("kubeconfig", Value, Ours, "a kubeconfig file; helm takes this flag itself"),
    short('h', flag("help", Switch, Ours, "print this")),
    short('f', flag("values", Value, Values, "a file of values (repeatable)")),
    flag("set", Value, Values, "values (repeatable)"),
    flag("set-string", Value, Values, "values that are strings (repeatable)"),
    flag("set-json", Value, Values, "values in JSON (repeatable)"),
    flag("set-literal", Value, Values, "a value taken literally (repeatable)"),
    flag("set-file", Value, Values, "values read from files (repeatable)"),
    flag("version", Value, Template, "version of the chart, or a range"),
    flag("devel", Switch, Template, "take development versions of the chart, too"),
    flag("repo", Value, Template, "URL of the chart repository"),
    flag("username", Value, Template, "user for the chart repository"),
    flag("password", Value, Template, "password for the chart repository"),
    flag("pass-credentials", Switch, Template, "pass credentials to all domains"),
    flag("ca-file", Value, Template, "CA bundle for the chart repository"),
    flag("cert-file", Value, Template, "client certificate for the chart repository"),
    flag("key-file", Value, Template, "its key"),
    flag("insecure-skip-tls-verify", Switch, Template, "don't check the certificate of the chart repository"),
    flag("plain-http", Switch, Template, "use HTTP for the chart repository"),
    flag("verify", Switch, Template, "verify the chart's signature"),
    flag("keyring", Value, Template, "keys for that"),
    flag("dependency-update", Switch, Template, "fetch missing dependencies of the chart first"),
    flag("kube-version", Value, Template, "Kubernetes version for the templates; the cluster's by default"),
    short('a', flag("api-versions", Value, Template, "API versions for the templates (repeatable); the cluster's by default")),
    flag("post-renderer", Value, Template, "what changes the manifests after rendering"),
    flag("post-renderer-args", Value, Template, "its arguments (repeatable)"),
    flag("enable-dns", Switch, Template, "allow DNS lookups in templates"),
    flag("include-crds", Switch, Template, "compare the chart's CRDs as if they were new"),
    flag("skip-crds", Switch, Template, "don't look at the chart's CRDs"),
    flag("skip-schema-validation", Switch, Template, "don't check values against the chart's schema"),
    flag("disable-openapi-validation", Switch, Template, "don't check objects against the cluster's schema"),
    flag("take-ownership", Switch, Template, "take over objects that exist and are not Helm's"),
    flag("registry-config", Value, Template, "file with credentials for registries"),
    flag("repository-config", Value, Template, "file with the chart repositories"),
    flag("repository-cache", Value, Template, "folder with their indexes"),
    flag("content-cache", Value, Template, "folder with downloaded charts"),
    flag("burst-limit", Value, Template, "helm's limit of requests at once"),
    flag("qps", Value, Template, "helm's limit of requests per second"),
    flag("server-side", Value, NoEffect, "how objects are written makes no difference to what they are"),
    flag("force-conflicts", Switch, NoEffect, "the same"),
    flag("skip-tests", Switch, NoEffect, "tests are left out by default"),
    flag("strip-trailing-cr", Switch, NoEffect, "objects are compared, and line ends are no part of them"),
    flag("normalize-manifests", Switch, NoEffect, "manifests are always normalised"),
    short('D', flag("find-renames", Value, NoEffect, "a renamed object shows as one removed and one added")),
    flag("debug", Switch, NoEffect, "helm takes this flag itself"),
    flag("diff-tool", Value, Unsupported, "show differences by another program"),
];

/// The flags, for people.
pub(super) fn help() -> String {
    let mut text = String::from(
        "Shows what `helm upgrade` would change, compared with the last deployed revision.\n\n\
         Usage: helm diff upgrade [flags] RELEASE CHART\n       helm diff version\n",
    );
    for (role, title) in [
        (Ours, "Flags"),
        (Values, "Values, handed to `helm template`"),
        (Template, "Flags that are handed to `helm template`"),
        (NoEffect, "Accepted, without effect"),
        (Unsupported, "Not supported"),
    ] {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "\n{title}:");
        for flag in FLAGS.iter().filter(|flag| flag.role == role) {
            let letter = flag.short.map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
            let form = match flag.form {
                Switch => "",
                Value => " VALUE",
                Optional => "[=VALUE]",
            };
            let name = format!("{}{form}", flag.name);
            let _infallible = writeln!(text, "  {letter}--{name:<32} {}", flag.help);
        }
    }
    text
}
