use std::{collections::BTreeMap, ffi::OsString};

use super::{table::FLAGS, *};
use crate::helmfile::diff::{Format, LinePattern, Secrets};

fn read(args: &str, env: &[(&str, &str)]) -> Result<UpgradeArgs, FlagError> {
    let args: Vec<OsString> = args.split_whitespace().map(Into::into).collect();
    let env = env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    parse(&args, &env).map(|asked| match asked {
        Asked::Upgrade(args) => *args,
        Asked::Help(text) => panic!("{text}"),
    })
}

fn template(args: &str) -> Vec<String> {
    read(args, &[]).unwrap().template
}

#[test]
fn reads_what_helmfile_passes() {
    // All flags of helmfile 1.7.4, as it orders them.
    let asked = read(
        "--allow-unreleased web ./chart --version 1.2 --devel --enable-dns --disable-openapi-validation \
         --disable-validation --api-versions a/v1 --kube-version 1.36.3 --insecure-skip-tls-verify \
         --post-renderer p --post-renderer-args=--x --skip-schema-validation --take-ownership --server-side auto \
         --values /tmp/a --values /tmp/b --set a=b --set-string c=d --set-file e=f --reset-values \
         --detailed-exitcode --strip-trailing-cr --include-tests --suppress ConfigMap --suppress-secrets \
         --show-secrets --no-hooks --no-color --context 3 --output diff --suppress-output-line-regex ^a.*b$",
        &[("HELM_NAMESPACE", "team")],
    )
    .unwrap();
    assert_eq!((asked.release.as_str(), asked.chart.as_str()), ("web", "./chart"));
    assert_eq!(asked.namespace.as_deref(), Some("team"));
    assert_eq!(
        asked.template,
        [
            "--version=1.2",
            "--devel=true",
            "--enable-dns=true",
            "--disable-openapi-validation=true",
            "--api-versions=a/v1",
            "--kube-version=1.36.3",
            "--insecure-skip-tls-verify=true",
            "--post-renderer=p",
            "--post-renderer-args=--x",
            "--skip-schema-validation=true",
            "--take-ownership=true",
            "--values=/tmp/a",
            "--values=/tmp/b",
            "--set=a=b",
            "--set-string=c=d",
            "--set-file=e=f"
        ]
    );
    assert_eq!(asked.values.len(), 5);
    assert_eq!(asked.old_values, OldValues::Forget);
    assert_eq!((asked.view.context, asked.color), (Some(3), Some(false)));
    assert_eq!(asked.view.suppress, ["ConfigMap", "Secret"]);
    assert_eq!((asked.view.format, asked.view.secrets), (Format::Diff, Secrets::Shown));
    assert_eq!(asked.view.suppress_lines, [LinePattern::new("^a.*b$").unwrap()]);
    assert!(
        asked.allow_unreleased
            && asked.detailed_exitcode
            && asked.tests
            && asked.no_hooks
            && !asked.three_way
    );
    assert!(asked.disable_validation && asked.given_api_versions && asked.given_kube_version);
}

#[test]
fn reads_flags_as_go_does() {
    assert_eq!(
        template("a b -f x -fy -f=z --set=p=q"),
        ["--values=x", "--values=y", "--values=z", "--set=p=q"]
    );
    assert_eq!(template("a b --devel=false --verify=T"), ["--devel=false", "--verify=true"]);
    let asked = read("-qC2 -- a --set", &[]).unwrap();
    assert_eq!((asked.view.context, asked.view.suppress), (Some(2), vec!["Secret".to_owned()]));
    assert_eq!((asked.release.as_str(), asked.chart.as_str()), ("a", "--set"));
    // A value may look like a flag.
    assert_eq!(template("a b --set --x"), ["--set=--x"]);
}

#[test]
fn says_what_is_wrong() {
    for (args, message) in [
        (
            "a b --detailed-exit-code",
            "unknown flag `--detailed-exit-code`; did you mean `--detailed-exitcode`?",
        ),
        ("a b -z", "unknown flag `-z`"),
        ("a b --set", "flag `--set` needs a value"),
        ("a b --context x", "flag `--context` needs a number of lines"),
        ("a b --devel=perhaps", "flag `--devel` needs `true` or `false`"),
        ("a b --dry-run=x", "flag `--dry-run` needs `server`, `client` or `none`"),
        (
            "a b --output dyff",
            "output format `dyff` is not supported; there are `diff`, `simple`, `json`, `structured`",
        ),
        (
            "a b --output=template",
            "output format `template` is not supported; there are `diff`, `simple`, `json`, `structured`",
        ),
        ("a b --diff-tool meld", "`--diff-tool` (show differences by another program) is not supported"),
        (
            "a b --suppress-output-line-regex ((",
            "flag `--suppress-output-line-regex` needs a regular expression",
        ),
        ("a", "needs a release and a chart (`helm diff upgrade [flags] RELEASE CHART`), but 1 were given"),
        (
            "a b c",
            "needs a release and a chart (`helm diff upgrade [flags] RELEASE CHART`), but 3 were given",
        ),
        ("a b -f -", "values can't be read from standard input; give the name of a file"),
    ] {
        assert_eq!(read(args, &[]).unwrap_err().to_string(), message, "{args}");
    }
}

#[test]
fn the_environment_speaks_where_flags_do_not() {
    let ignoring = [("HELM_DIFF_IGNORE_UNKNOWN_FLAGS", "true")];
    assert_eq!(
        read("a b --new-flag value --other -x=1 --devel", &ignoring).unwrap().template,
        ["--devel=true"]
    );
    assert!(read("a b --new-flag", &[("HELM_DIFF_IGNORE_UNKNOWN_FLAGS", "no")]).is_err());
    assert_eq!(read("a b", &[("HELM_DIFF_COLOR", "true"), ("NO_COLOR", "1")]).unwrap().color, Some(true));
    assert_eq!(read("a b --no-color", &[("HELM_DIFF_COLOR", "true")]).unwrap().color, Some(false));
    assert_eq!(read("a b", &[("NO_COLOR", "1")]).unwrap().color, Some(false));
    assert_eq!(read("a b", &[("HELM_DIFF_OUTPUT_CONTEXT", "5")]).unwrap().view.context, Some(5));
    assert_eq!(read("a b -C -1", &[("HELM_DIFF_OUTPUT_CONTEXT", "5")]).unwrap().view.context, None);
    for (args, env, format) in [
        ("a b", &[("HELM_DIFF_OUTPUT", "json")][..], Some(Format::Json)),
        ("a b --output simple", &[("HELM_DIFF_OUTPUT", "dyff")], Some(Format::Simple)),
        ("a b", &[("HELM_DIFF_OUTPUT", "dyff")], None),
        ("a b", &[("HELM_DIFF_TOOL", "meld")], None),
        ("a b", &[("HELM_DIFF_TOOL", "")], Some(Format::Diff)),
        ("a b --output structured", &[("HELM_DIFF_TOOL", "meld")], Some(Format::Structured)),
    ] {
        assert_eq!(read(args, env).ok().map(|asked| asked.view.format), format, "{args} {env:?}");
    }
    let live = [("HELM_DIFF_THREE_WAY_MERGE", "true")];
    assert!(read("a b", &live).unwrap().three_way && read("a b --three-way-merge", &[]).unwrap().three_way);
    assert!(!read("a b --three-way-merge=false", &live).unwrap().three_way);
    assert!(read("a b", &[("HELM_DIFF_NORMALIZE_MANIFESTS", "true")]).is_ok());
    assert_eq!(
        read("a b", &[("HELM_DIFF_USE_UPGRADE_DRY_RUN", "true")]).unwrap().dry_run,
        Some(DryRun::Server)
    );
}

#[test]
fn values_win_over_each_other_as_in_helm() {
    for (args, old) in [
        ("a b", OldValues::WhenNoneGiven),
        ("a b --reuse-values", OldValues::Reuse),
        ("a b --reset-then-reuse-values --reuse-values", OldValues::Reuse),
        ("a b --reset-values --reuse-values", OldValues::Forget),
        ("a b --reuse-values --reset-values", OldValues::Forget),
        ("a b --reset-then-reuse-values", OldValues::ResetThenReuse),
    ] {
        assert_eq!(read(args, &[]).unwrap().old_values, old, "{args}");
    }
}

#[test]
fn the_more_telling_way_to_show_secrets_wins() {
    for (args, secrets) in [
        ("a b", Secrets::Hidden),
        ("a b --show-secrets=false", Secrets::Hidden),
        ("a b --show-secrets", Secrets::Shown),
        ("a b --show-secrets-decoded --show-secrets", Secrets::Decoded),
        ("a b --show-secrets --show-secrets-decoded", Secrets::Decoded),
    ] {
        assert_eq!(read(args, &[]).unwrap().view.secrets, secrets, "{args}");
    }
}

#[test]
fn dry_run_is_asked_for_or_left_to_us() {
    for (args, wanted) in [
        ("a b", None),
        ("a b --dry-run", Some(DryRun::Client)),
        ("a b --dry-run=server", Some(DryRun::Server)),
        ("a b --dry-run=none", None),
    ] {
        assert_eq!(read(args, &[]).unwrap().dry_run, wanted, "{args}");
    }
}

#[test]
fn help_names_every_flag() {
    let Asked::Help(text) = parse(&["-h".into()], &BTreeMap::new()).unwrap() else { panic!() };
    for flag in FLAGS {
        assert!(text.contains(&format!("--{}", flag.name)) && text.contains(flag.help), "{}", flag.name);
    }
}
