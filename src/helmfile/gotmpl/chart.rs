//! Whether what a chart renders to follows from its texts, its values and the flags alone.
//!
//! Each function that a template calls must be known as pure. Where `tpl` is called, texts become templates: values, string
//! literals, and the chart's other files, when the templates can get at them. A template that is put together from pieces
//! without braces of its own (`printf "%c%c now }}" 123 123`) is not seen: nobody writes that by accident.

use serde_json::Value;

use super::{
    function::is_pure_in_chart,
    token::{self, Action, OPEN, Token},
};
use crate::yaml;

/// A text of a chart, or one that is given to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// What it is called in a message.
    pub name: String,
    /// What Helm does with it.
    pub role: Role,
    /// What is in it.
    pub content: String,
}

impl Text {
    /// `None` for a file that is no text. Helm takes whatever it runs for a text.
    pub fn new(name: String, role: Role, content: &[u8]) -> Option<Self> {
        let is_binary = role == Role::File && (content.contains(&0) || str::from_utf8(content).is_err());
        (!is_binary).then(|| Self { name, role, content: String::from_utf8_lossy(content).into_owned() })
    }
}

/// What Helm does with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs it.
    Template,
    /// Reads it as YAML, whose strings `tpl` can run: values, Chart.yaml.
    Values,
    /// Takes it from the command line: `--set` and its like. `tpl` can run it, too.
    Flag,
    /// Hands it out by `.Files`.
    File,
}

impl Role {
    /// What Helm does with the file of this path in a chart, or in a chart in its folder `charts`.
    pub fn of(path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path);
        if path.split('/').any(|part| part == "templates") {
            Self::Template
        } else if ["values.yaml", "Chart.yaml"].contains(&name) {
            Self::Values
        } else {
            Self::File
        }
    }
}

/// Judges the texts of one chart together.
///
/// # Errors
/// What was found that can give another result without another text, and where.
pub fn judge(texts: &[Text]) -> Result<(), String> {
    let of = |role| texts.iter().filter(move |text| text.role == role);
    let mut seen = Seen::default();
    for text in of(Role::Template) {
        seen.template(&text.content).map_err(|found| format!("{found} in {}", text.name))?;
    }
    if !seen.runs_texts {
        return Ok(());
    }
    for text in of(Role::Template) {
        seen.literals(&text.content, 0).map_err(|found| format!("{found} in a string of {}", text.name))?;
    }
    for text in of(Role::Values) {
        seen.values(&text.content).map_err(|found| format!("{found} in {}", text.name))?;
    }
    for text in of(Role::Flag) {
        // `\` keeps the next character from having a meaning.
        for content in [&text.content, &text.content.replace('\\', "")] {
            seen.runnable(content, 0).map_err(|found| format!("{found} in {}", text.name))?;
        }
    }
    // Text by text, until no other says that files can be read.
    if seen.reads_files {
        for text in of(Role::File) {
            seen.runnable(&text.content, 0).map_err(|found| format!("{found} in {}", text.name))?;
        }
    }
    if seen.decodes { Err("`tpl` beside a decoder, which can hide a template".to_owned()) } else { Ok(()) }
}

/// What the texts so far can do.
#[derive(Debug, Default)]
struct Seen {
    runs_texts: bool,
    reads_files: bool,
    decodes: bool,
}

impl Seen {
    /// Looks at a text that is run.
    fn template(&mut self, text: &str) -> Result<(), String> {
        for Action { tokens, .. } in token::actions(text).map_err(|error| error.to_string())? {
            for token in tokens {
                match token {
                    Token::Function(name) if !is_pure_in_chart(name) => return Err(format!("`{name}`")),
                    Token::Function(name) => {
                        self.runs_texts |= name == "tpl";
                        self.decodes |= DECODERS.contains(&name);
                    }
                    Token::Field(name) => self.reads_files |= FILES.contains(&name),
                    // An address in memory.
                    Token::Literal(text) if text.contains("%p") => return Err("`%p`".to_owned()),
                    Token::Literal(text) => self.reads_files |= text.contains("Files"),
                    Token::Pipe | Token::Other => {}
                }
            }
        }
        Ok(())
    }

    /// Looks at the strings in a template as texts that are run.
    fn literals(&mut self, template: &str, depth: usize) -> Result<(), String> {
        for Action { tokens, .. } in token::actions(template).map_err(|error| error.to_string())? {
            for token in tokens {
                if let Token::Literal(text) = token {
                    self.runnable(&text, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    /// Looks at a text that `tpl` may run.
    fn runnable(&mut self, text: &str, depth: usize) -> Result<(), String> {
        if ESCAPED_BRACE.iter().any(|escape| text.contains(escape)) {
            return Err("an escaped brace".to_owned());
        }
        if !text.contains(OPEN) {
            return Ok(());
        }
        if depth > DEPTH {
            return Err("a template in too many others".to_owned());
        }
        self.template(text)?;
        self.literals(text, depth)
    }

    /// Looks at the strings of a YAML text.
    fn values(&mut self, text: &str) -> Result<(), String> {
        // Without these no string of it has two braces in a row, and most values have none of them.
        if !text.contains(OPEN) && !text.contains('\\') {
            return Ok(());
        }
        let documents =
            yaml::documents(text).map_err(|error| format!("YAML that can't be read ({error})"))?;
        documents.iter().try_for_each(|document| self.strings(document))
    }

    fn strings(&mut self, value: &Value) -> Result<(), String> {
        match value {
            Value::String(text) => self.runnable(text, 0),
            Value::Array(items) => items.iter().try_for_each(|item| self.strings(item)),
            Value::Object(map) => map.iter().try_for_each(|(key, value)| {
                self.runnable(key, 0)?;
                self.strings(value)
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }
}

/// Functions that give a text which is in no other text.
const DECODERS: [&str; 3] = ["b64dec", "b32dec", "decryptAES"];
/// Fields without which no template gets at a file of its chart.
const FILES: [&str; 7] = ["Files", "Get", "GetBytes", "Glob", "Lines", "AsConfig", "AsSecrets"];
/// What JSON and YAML make a brace of, when a text is one of those and is read once more.
const ESCAPED_BRACE: [&str; 4] = ["\\u007b", "\\u007B", "\\x7b", "\\x7B"];
/// How many templates may be in one another.
const DEPTH: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, content: &str) -> Text {
        let role = if name.starts_with("--") { Role::Flag } else { Role::of(name) };
        Text { name: name.to_owned(), role, content: content.to_owned() }
    }

    fn judged(texts: &[(&str, &str)]) -> Result<(), String> {
        judge(&texts.iter().map(|(name, content)| text(name, content)).collect::<Vec<_>>())
    }

    #[test]
    fn knows_what_a_file_is_for() {
        for (path, role) in [
            ("templates/a.yaml", Role::Template),
            ("templates/NOTES.txt", Role::Template),
            ("charts/a/templates/_helpers.tpl", Role::Template),
            ("charts/a.tgz/a/templates/x", Role::Template),
            ("values.yaml", Role::Values),
            ("charts/a/values.yaml", Role::Values),
            ("Chart.yaml", Role::Values),
            ("files/a.json", Role::File),
            ("values.schema.json", Role::File),
        ] {
            assert_eq!(Role::of(path), role, "{path}");
        }
    }

    #[test]
    fn a_template_calls_pure_functions_only() {
        for (content, found) in [
            ("kind: A", None),
            ("{{ include \"a.name\" . | nindent 4 }}{{- with .Values.now }}{{ toYaml . }}{{ end }}", None),
            ("{{/* lookup, now, {{ env */}}{{ .Release.Name | trunc 63 | trimSuffix \"-\" }}", None),
            ("{{ $now := 1 }}{{ $now }}{{ .now }}{{ \"now\" }} now lookup", None),
            ("{{ if .Capabilities.APIVersions.Has \"policy/v1\" }}{{ end }}", None),
            ("{{ \"{{ $labels.x | humanize }}\" }}{{ `{{ now }}` }}", None),
            ("{{ .Files.Get \"a\" | b64enc }}{{ b64dec .Values.a }}", None),
            ("{{ range $k, $v := .Values.a }}{{ break }}{{ end }}{{ dateModify \"1h\" .Values.a }}", None),
            ("{{ now }}", Some("`now`")),
            ("{{ now | date \"2006\" }}", Some("`now`")),
            ("{{ date \"2006\" .Values.none }}", Some("`date`")),
            ("{{ if not .a }}{{ randAlphaNum 5 }}{{ end }}", Some("`randAlphaNum`")),
            ("{{ (lookup \"v1\" \"Secret\" \"n\" \"a\").data }}", Some("`lookup`")),
            ("{{ default (uuidv4) .Values.id }}", Some("`uuidv4`")),
            ("{{ genCA \"a\" 1 }}", Some("`genCA`")),
            ("{{ htpasswd .a .b }}", Some("`htpasswd`")),
            ("{{ getHostByName \"a\" }}", Some("`getHostByName`")),
            ("{{ .a | shuffle }}", Some("`shuffle`")),
            ("{{ .a | encryptAES \"k\" }}", Some("`encryptAES`")),
            ("{{ ofTheFuture . }}", Some("`ofTheFuture`")),
            ("{{ printf \"%p\" . }}", Some("`%p`")),
            ("a\n{{ now", Some("an action that can't be read in line 2")),
            ("{{/* */}}{{\"`\"}}{{ env \"`\" }}", Some("`env`")),
        ] {
            let expected = found.map_or(Ok(()), |found| Err(format!("{found} in templates/a.yaml")));
            assert_eq!(judged(&[("templates/a.yaml", content)]), expected, "{content}");
        }
    }

    #[test]
    fn without_tpl_no_other_text_is_run() {
        let others = [
            ("values.yaml", "a: '{{ now }}'"),
            ("files/a", "{{ now"),
            ("--set", "a={{ now }}"),
            ("Chart.yaml", "a: '{{'"),
        ];
        let with = |template| judged(&[&[("templates/a", template)], &others[..]].concat());
        assert_eq!(with("{{ `{{ now }}` }}{{ .Files.Get \"a\" }}{{ .tpl }}{{/* tpl */}}"), Ok(()));
        assert!(with("{{ tpl .Values.a . }}").is_err());
    }

    #[test]
    fn with_tpl_values_and_literals_are_run() {
        for (name, content, found) in [
            ("values.yaml", "a: '{{ .Values.b }}'", None),
            ("values.yaml", "# {{ now\na: \"}}\"", None),
            ("values.yaml", "a: '{ { now } }'", None),
            ("values.yaml", "a: '{{ now }}'", Some("`now`")),
            ("values.yaml", "'{{ now }}': a", Some("`now`")),
            ("values.yaml", "a: [{b: '{{ `{{ now }}` }}'}]", Some("`now`")),
            ("values.yaml", "a: '{{'\nb: 'now }}'", Some("an action that can't be read in line 1")),
            ("values.yaml", "a: \"{\\x7b now }}\"", Some("`now`")),
            ("values.yaml", "a: \"{\\\n  { now }}\"", Some("`now`")),
            ("values.yaml", "a: '\"\\u007b\\u007b now }}\"'", Some("an escaped brace")),
            ("values.yaml", "a: |\n  {{ if .x }}\n  {{ lookup }}\n", Some("`lookup`")),
            ("charts/a/values.yaml", "a: '{{ env \"A\" }}'", Some("`env`")),
            ("Chart.yaml", "description: '{{ now }}'", Some("`now`")),
            ("--set", "a=b", None),
            ("--set", "a={{ .Values.b }}", None),
            ("--set", "a={{ now }}", Some("`now`")),
            ("--set", "a=\\{\\{ now \\}\\}", Some("`now`")),
            ("--set-json", "a=\"\\u007b{ now }}\"", Some("an escaped brace")),
            ("files/a", "{{ now", None),
            ("templates/_b.tpl", "{{ now }}", Some("`now`")),
        ] {
            let expected = found.map_or(Ok(()), |found| Err(format!("{found} in {name}")));
            assert_eq!(
                judged(&[("templates/a", "{{ tpl .Values.a . }}"), (name, content)]),
                expected,
                "{content}"
            );
        }
        for (template, found) in [
            (
                "{{ tpl (printf \"{{ include %q . }}\" .a) . }}",
                Some("an action that can't be read in line 1"),
            ),
            ("{{ tpl \"{{ .a }}\" . }}", None),
            ("{{ tpl \"{{ now }}\" . }}", Some("`now`")),
            ("{{ tpl \"\\x7b\\u007b now }}\" . }}", Some("`now`")),
            ("{{ tpl (replace \"[[\" \"{{\" .a) . }}", Some("an action that can't be read in line 1")),
            ("{{ $a := `{{ \"{{ now }}\" }}` }}{{ tpl $a . }}", Some("`now`")),
        ] {
            let expected = found.map_or(Ok(()), |found| Err(format!("{found} in a string of templates/a")));
            assert_eq!(judged(&[("templates/a", template)]), expected, "{template}");
        }
        assert!(
            judged(&[("templates/a", "{{ tpl (b64dec .Values.a) . }}")]).unwrap_err().contains("decoder")
        );
        // `tpl` itself may come from a text that only another one runs.
        assert!(
            judged(&[("templates/a", "{{ tpl .a . }}"), ("values.yaml", "a: '{{ b64dec .b }}'")]).is_err()
        );
    }

    #[test]
    fn with_tpl_files_are_run_when_they_can_be_read() {
        let with = |template, content| judged(&[("templates/a", template), ("files/a", content)]);
        for reads in [
            "{{ tpl (.Files.Get \"a\") . }}",
            "{{ tpl .b . }}{{ (index . \"Files\").x }}",
            "{{ range . }}{{ tpl (.Get .x) . }}{{ end }}",
        ] {
            assert_eq!(with(reads, "{{ now }}"), Err("`now` in files/a".to_owned()));
            assert_eq!(with(reads, "{{ .now }}"), Ok(()));
        }
        // The value does it, not the template.
        let value = ("values.yaml", "a: '{{ .Files.Get \"a\" }}'");
        assert!(judged(&[("files/a", "{{ now }}"), ("templates/a", "{{ tpl .a . }}"), value]).is_err());
    }

    #[test]
    fn templates_in_one_another_come_to_an_end() {
        let nested = (0..20).fold("x".to_owned(), |inner, _| format!("{{{{ {inner:?} }}}}"));
        assert!(judged(&[("templates/a", &format!("{{{{ tpl {nested:?} . }}}}"))]).is_err());
    }
}
