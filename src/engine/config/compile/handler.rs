//! Handlers: programs, URLs and templates.

use std::{path::PathBuf, time::Duration};

use super::file::Compiler;
use crate::engine::{
    config::{
        model::{Exec, Handler, Http, HttpTls, Program},
        raw::{HandlerRef, RawExec, RawHttp, RawTemplate},
        tree::Path,
    },
    template::Template,
};

/// How long a handler may run when nothing is said: whitebox-controller's default.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);
const DEFAULT_GRACE: Duration = Duration::from_secs(5);

impl Compiler<'_> {
    pub(super) fn handler(&mut self, raw: HandlerRef<'_>, at: &Path) -> Option<Handler> {
        let given = [
            ("exec", raw.exec.is_some()),
            ("http", raw.http.is_some()),
            ("template", raw.template.is_some()),
        ];
        let mut given = given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name);
        let first = given.next();
        if let (Some(first), Some(second)) = (first, given.next()) {
            let message = format!("there is exactly one handler, and `{first}` is given as well");
            self.error(&at.key(second), message);
            return None;
        }
        match (raw.exec, raw.http, raw.template) {
            (Some(exec), _, _) => Some(Handler::Exec(self.exec(exec, &at.key("exec")))),
            (_, Some(http), _) => Some(Handler::Http(self.http(http, &at.key("http")))),
            (_, _, Some(template)) => self.template(template, &at.key("template")).map(Handler::Template),
            _ => {
                self.error(at, format!("`{at}` needs a handler: one of `exec`, `http` and `template`"));
                None
            }
        }
    }

    fn timeout(&mut self, text: Option<&str>, at: &Path) -> Option<Duration> {
        let timeout = self.duration(text, &at.key("timeout")).unwrap_or(DEFAULT_TIMEOUT);
        (!timeout.is_zero()).then_some(timeout)
    }

    fn exec(&mut self, raw: &RawExec, at: &Path) -> Exec {
        self.not_empty(&raw.command, &at.key("command"));
        let base = self.unit.folder.clone();
        let program = match raw.command.as_str() {
            env!("CARGO_PKG_NAME") => Program::Own,
            command => {
                if let Some(problem) = self.unit.unusable.get(command) {
                    self.warning(&at.key("command"), problem.clone());
                }
                Program::Named(command.to_owned())
            }
        };
        let grace = self.duration(raw.grace.as_deref(), &at.key("grace")).unwrap_or(DEFAULT_GRACE);
        Exec {
            program,
            args: raw.args.clone(),
            folder: raw.working_dir.as_ref().map_or_else(|| base.clone(), |folder| base.join(folder)),
            base,
            env: raw.env.clone(),
            timeout: self.timeout(raw.timeout.as_deref(), at),
            grace,
            debug: raw.debug,
        }
    }

    fn http(&mut self, raw: &RawHttp, at: &Path) -> Http {
        let host = raw.url.split_once("://").filter(|(scheme, _)| ["http", "https"].contains(scheme));
        if host.is_none_or(|(_, rest)| rest.is_empty() || rest.starts_with('/')) {
            self.error(&at.key("url"), format!("`{at}.url` must begin with `http://HOST` or `https://HOST`"));
        }
        let tls = &raw.tls;
        if tls.cert_file.is_some() != tls.key_file.is_some() {
            self.error(&at.key("tls"), "`certFile` and `keyFile` go together".to_owned());
        }
        let file = |name: &Option<String>| -> Option<PathBuf> {
            name.as_ref().map(|name| self.unit.folder.join(name))
        };
        let tls = HttpTls {
            cert_file: file(&tls.cert_file),
            key_file: file(&tls.key_file),
            ca_cert_file: file(&tls.ca_cert_file),
        };
        let timeout = self.timeout(raw.timeout.as_deref(), at);
        Http { url: raw.url.clone(), tls, timeout, debug: raw.debug }
    }

    fn template(&mut self, raw: &RawTemplate, at: &Path) -> Option<Template> {
        let (name, text, place) = match (&raw.file, &raw.inline) {
            (None, Some(text)) => (format!("{}: {at}", self.unit.name), text, at.key("inline")),
            (Some(file), None) => match self.unit.files.get(file) {
                Some(Ok(text)) => (file.clone(), text, at.key("file")),
                Some(Err(problem)) => {
                    self.error(&at.key("file"), problem.clone());
                    return None;
                }
                None => return None,
            },
            _ => {
                self.error(at, "a template is given by exactly one of `file` and `inline`".to_owned());
                return None;
            }
        };
        Template::compile(&name, text).map_err(|error| self.error(&place, error.to_string())).ok()
    }
}
