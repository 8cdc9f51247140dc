//! From words to what is asked for.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use super::{
    args::{DryRun, OldValues, UpgradeArgs},
    reader::{Item, Reader, truth},
    table::{Flag, Form, Role},
};
use crate::{
    environment::Environment,
    helmfile::diff::{Format, LinePattern, Secrets},
};

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// The flags, printed.
    Help(String),
    /// A comparison.
    Upgrade(Box<UpgradeArgs>),
}

/// Reads what follows `helm diff upgrade`. `env` is consulted for the variables by which helm and helmfile say what they
/// can't say by flags (`HELM_NAMESPACE`, `HELM_KUBECONTEXT`, `HELM_DIFF_*`); a flag wins.
///
/// # Errors
/// When the arguments make no sense.
pub fn parse(args: &[OsString], env: &Environment) -> Result<Asked, FlagError> {
    let text = |(index, arg): (usize, &OsString)| {
        arg.to_str().map(str::to_owned).ok_or(FlagError::NotText(index + 1))
    };
    let args: Vec<String> = args.iter().enumerate().map(text).collect::<Result<_, _>>()?;
    let env = Env(env);
    let mut reader = Reader {
        rest: args.into_iter().collect(),
        ignore_unknown: env.is_true("HELM_DIFF_IGNORE_UNKNOWN_FLAGS"),
    };
    let mut asked = defaults(&env)?;
    let mut output = None;
    let mut positional = Vec::new();
    while let Some(item) = reader.next()? {
        match item {
            Item::Positional(arg) => positional.push(arg),
            Item::Flag(flag, value) if flag.name == "help" && value == "true" => {
                return Ok(Asked::Help(super::table::help()));
            }
            Item::Flag(flag, value) if flag.name == "output" => output = Some(value),
            Item::Flag(flag, value) => apply(&mut asked, flag, value)?,
        }
    }
    asked.view.format = format(output.as_deref(), &env)?;
    let given = positional.len();
    let [release, chart] = <[String; 2]>::try_from(positional).map_err(|_| FlagError::Positional(given))?;
    Ok(Asked::Upgrade(Box::new(UpgradeArgs { release, chart, ..asked })))
}

/// The format by flag or by the environment. Another tool that is to show the differences is refused, unless a format is
/// asked for by flag, which wins over it.
fn format(flag: Option<&str>, env: &Env<'_>) -> Result<Format, FlagError> {
    if flag.is_none() && env.get("HELM_DIFF_TOOL").is_some() {
        return Err(FlagError::Unsupported {
            flag: "HELM_DIFF_TOOL".into(),
            what: "show differences by another program",
        });
    }
    let Some(name) = flag.or_else(|| env.get("HELM_DIFF_OUTPUT")) else { return Ok(Format::Diff) };
    let known = Format::ALL.iter().find(|(known, _)| *known == name);
    known.map(|(_, format)| *format).ok_or_else(|| FlagError::Output(name.to_owned()))
}

struct Env<'a>(&'a Environment);

impl Env<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(OsStr::new(name)).and_then(|value| value.to_str()).filter(|value| !value.is_empty())
    }

    fn is_true(&self, name: &str) -> bool {
        self.get(name).and_then(truth) == Some(true)
    }
}

/// What the environment asks for.
fn defaults(env: &Env<'_>) -> Result<UpgradeArgs, FlagError> {
    let mut asked = UpgradeArgs {
        namespace: env.get("HELM_NAMESPACE").map(str::to_owned),
        kube_context: env.get("HELM_KUBECONTEXT").map(str::to_owned),
        color: env.get("HELM_DIFF_COLOR").and_then(truth).or_else(|| env.get("NO_COLOR").map(|_| false)),
        three_way: env.is_true("HELM_DIFF_THREE_WAY_MERGE"),
        dry_run: env.is_true("HELM_DIFF_USE_UPGRADE_DRY_RUN").then_some(DryRun::Server),
        ..UpgradeArgs::default()
    };
    if let Some(lines) = env.get("HELM_DIFF_OUTPUT_CONTEXT") {
        asked.view.context = context("HELM_DIFF_OUTPUT_CONTEXT", lines)?;
    }
    Ok(asked)
}

fn apply(asked: &mut UpgradeArgs, flag: &'static Flag, value: String) -> Result<(), FlagError> {
    let on = flag.form == Form::Switch && value == "true";
    match flag.role {
        Role::Ours => ours(asked, flag, value, on)?,
        Role::Unsupported => {
            return Err(FlagError::Unsupported { flag: format!("--{}", flag.name), what: flag.help });
        }
        Role::NoEffect => {}
        Role::Template | Role::Values => {
            if flag.name == "values" && value.split(',').any(|file| file.trim() == "-") {
                return Err(FlagError::Stdin);
            }
            if flag.role == Role::Values {
                asked.values.push((flag.name, value.clone()));
            }
            asked.given_kube_version |= flag.name == "kube-version";
            asked.given_api_versions |= flag.name == "api-versions";
            // One word, so that no value is taken for a flag.
            asked.template.push(format!("--{}={value}", flag.name));
        }
    }
    Ok(())
}

fn ours(asked: &mut UpgradeArgs, flag: &Flag, value: String, on: bool) -> Result<(), FlagError> {
    match flag.name {
        "allow-unreleased" | "install" => asked.allow_unreleased |= on,
        "detailed-exitcode" => asked.detailed_exitcode = on,
        "context" => asked.view.context = context("--context", &value)?,
        "color" => asked.color = Some(on),
        "no-color" if on => asked.color = Some(false),
        "suppress" => asked.view.suppress.push(value),
        "suppress-secrets" if on => asked.view.suppress.push("Secret".into()),
        "suppress-output-line-regex" => asked.view.suppress_lines.push(line_pattern(flag, &value)?),
        "show-secrets-decoded" if on => asked.view.secrets = Secrets::Decoded,
        "show-secrets" if on && asked.view.secrets == Secrets::Hidden => asked.view.secrets = Secrets::Shown,
        "three-way-merge" => asked.three_way = on,
        "include-tests" => asked.tests = on,
        "no-hooks" => asked.no_hooks = on,
        "reset-values" if on => asked.old_values = OldValues::Forget,
        "reuse-values" if on && asked.old_values != OldValues::Forget => asked.old_values = OldValues::Reuse,
        "reset-then-reuse-values" if on && asked.old_values == OldValues::WhenNoneGiven => {
            asked.old_values = OldValues::ResetThenReuse;
        }
        "dry-run" => asked.dry_run = dry_run(&value)?,
        "validate" if on => asked.dry_run = Some(DryRun::Server),
        "disable-validation" => asked.disable_validation = on,
        "namespace" => asked.namespace = Some(value),
        "kube-context" => asked.kube_context = Some(value),
        "kubeconfig" => asked.kubeconfig = Some(PathBuf::from(value)),
        _ => {}
    }
    Ok(())
}

fn line_pattern(flag: &Flag, value: &str) -> Result<LinePattern, FlagError> {
    LinePattern::new(value).ok_or_else(|| FlagError::BadValue {
        flag: format!("--{}", flag.name),
        wanted: "a regular expression",
    })
}

fn context(flag: &str, lines: &str) -> Result<Option<usize>, FlagError> {
    let lines: i64 = lines
        .parse()
        .map_err(|_| FlagError::BadValue { flag: flag.to_owned(), wanted: "a number of lines" })?;
    // Negative means all.
    Ok(usize::try_from(lines).ok())
}

fn dry_run(value: &str) -> Result<Option<DryRun>, FlagError> {
    match value {
        "server" => Ok(Some(DryRun::Server)),
        "" | "client" | "true" => Ok(Some(DryRun::Client)),
        "none" | "false" => Ok(None),
        _ => Err(FlagError::BadValue { flag: "--dry-run".into(), wanted: "`server`, `client` or `none`" }),
    }
}

/// A command line that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// No such flag.
    #[error("unknown flag `{flag}`{}", hint(.meant.as_deref()))]
    Unknown {
        /// As given.
        flag: String,
        /// What was probably meant.
        meant: Option<String>,
    },
    /// A flag without its value.
    #[error("flag `{0}` needs a value")]
    NoValue(String),
    /// A value that the flag does not take. The value is not repeated: it may be somebody's secret.
    #[error("flag `{flag}` needs {wanted}")]
    BadValue {
        /// The flag.
        flag: String,
        /// What it takes.
        wanted: &'static str,
    },
    /// A flag or variable of upstream's that is not followed.
    #[error("`{flag}` ({what}) is not supported")]
    Unsupported {
        /// The flag or variable.
        flag: String,
        /// What it would do.
        what: &'static str,
    },
    /// An output format that there is not here.
    #[error("output format `{0}` is not supported; there are {names}", names = formats())]
    Output(String),
    /// Not `RELEASE CHART`.
    #[error("needs a release and a chart (`helm diff upgrade [flags] RELEASE CHART`), but {0} were given")]
    Positional(usize),
    /// Values cannot come from there.
    #[error("values can't be read from standard input; give the name of a file")]
    Stdin,
    /// An argument that is no text.
    #[error("argument {0} is not valid UTF-8")]
    NotText(usize),
}

fn formats() -> String {
    Format::ALL.map(|(name, _)| format!("`{name}`")).join(", ")
}

fn hint(meant: Option<&str>) -> String {
    meant.map(|meant| format!("; did you mean `--{meant}`?")).unwrap_or_default()
}
