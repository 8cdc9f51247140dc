//! From words to what is asked for.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use super::reader::{Item, Reader, truth};
use super::table::{Flag, Form, Role};
use crate::environment::Environment;
use crate::helmfile::helm::plugin::{DryRun, OldValues, UpgradeArgs};

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
    let mut format = env.get("HELM_DIFF_OUTPUT").unwrap_or(FORMAT).to_owned();
    let mut positional = Vec::new();
    while let Some(item) = reader.next()? {
        match item {
            Item::Positional(arg) => positional.push(arg),
            Item::Flag(flag, value) if flag.name == "help" && value == "true" => {
                return Ok(Asked::Help(super::table::help()));
            }
            Item::Flag(flag, value) if flag.name == "output" => format = value,
            Item::Flag(flag, value) => apply(&mut asked, flag, value)?,
        }
    }
    if format != FORMAT {
        return Err(FlagError::Output(format));
    }
    let given = positional.len();
    let [release, chart] = <[String; 2]>::try_from(positional).map_err(|_| FlagError::Positional(given))?;
    Ok(Asked::Upgrade(Box::new(UpgradeArgs { release, chart, ..asked })))
}

/// The one output format that there is.
const FORMAT: &str = "diff";

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
    if env.is_true("HELM_DIFF_THREE_WAY_MERGE") {
        return Err(FlagError::NotYet {
            flag: "HELM_DIFF_THREE_WAY_MERGE".into(),
            what: "compare with the live objects",
        });
    }
    let mut asked = UpgradeArgs {
        namespace: env.get("HELM_NAMESPACE").map(str::to_owned),
        kube_context: env.get("HELM_KUBECONTEXT").map(str::to_owned),
        color: env.get("HELM_DIFF_COLOR").and_then(truth).or_else(|| env.get("NO_COLOR").map(|_| false)),
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
        Role::Later if flag.form == Form::Switch && !on => {}
        Role::Later => return Err(FlagError::NotYet { flag: format!("--{}", flag.name), what: flag.help }),
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
        "show-secrets" => asked.view.reveal_secrets = on,
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
    /// A flag that comes later.
    #[error("flag `{flag}` ({what}) is not supported yet")]
    NotYet {
        /// The flag.
        flag: String,
        /// What it would do.
        what: &'static str,
    },
    /// An output format that comes later.
    #[error("output format `{0}` is not supported yet; there is `diff`")]
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

fn hint(meant: Option<&str>) -> String {
    meant.map(|meant| format!("; did you mean `--{meant}`?")).unwrap_or_default()
}
