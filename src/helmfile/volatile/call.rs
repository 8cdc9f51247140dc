//! What the templates of helmfiles and of their values ask for. Pure.

use std::{collections::BTreeSet, path::Component, path::Path};

use super::reason::{ENOUGH, Place, Reason};
use crate::helmfile::gotmpl::{
    function::{is_impure, is_pure_in_helmfile},
    token::{self, Action, OPEN, Piece, Token},
};

/// A file that is looked at.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    /// Its path in the source.
    pub(super) path: &'a str,
    /// All of it, to find lines in.
    pub(super) text: &'a str,
    /// Variables that the spec and we ourselves set.
    pub(super) known_env: &'a BTreeSet<String>,
}

impl File<'_> {
    /// This file, and the first of its lines that is no comment and has all of these in it.
    pub(super) fn place(self, needles: &[&str]) -> Place {
        let lines = self.text.lines().map(without_comment);
        let found = lines.enumerate().find(|(_, line)| needles.iter().all(|needle| line.contains(needle)));
        self.at(found.map(|(number, _)| number + 1))
    }

    fn at(self, line: Option<usize>) -> Place {
        Place { file: self.path.to_owned(), line }
    }
}

/// A line of YAML up to its comment. A `#` behind a quote counts as a part of a string.
pub(super) fn without_comment(line: &str) -> &str {
    let mut last = ' ';
    for (at, c) in line.char_indices() {
        match c {
            '#' if last.is_whitespace() => return line.get(..at).unwrap_or(line),
            '"' | '\'' => return line,
            _ => last = c,
        }
    }
    line
}

/// How a text is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// It is a template of helmfile's: whatever is not known as pure is a reason.
    Runs,
    /// It may be one, or something else with braces: what is known as not pure is a reason. Its lines are not those of the
    /// file.
    MayRun,
}

/// What the actions of a text ask for.
pub(super) fn calls(file: File<'_>, text: &str, usage: Use, found: &mut Vec<Reason>) {
    nested_calls(file, text, usage, 0, found);
}

/// How many templates may be in one another.
const DEPTH: usize = 8;

fn nested_calls(file: File<'_>, text: &str, usage: Use, depth: usize, found: &mut Vec<Reason>) {
    if depth > DEPTH {
        found.push(Reason::Unreadable(file.place(&[OPEN])));
        return;
    }
    let mut is_broken = false;
    for piece in token::pieces(text) {
        if found.len() >= ENOUGH {
            return;
        }
        let was_broken = std::mem::replace(&mut is_broken, matches!(piece, Piece::Broken(_)));
        match piece {
            Piece::Action(action) => {
                action_calls(file, &action, usage, depth, found);
                for token in &action.tokens {
                    if let Token::Literal(inner) = token
                        && inner.contains(OPEN)
                    {
                        nested_calls(file, inner, Use::MayRun, depth + 1, found);
                    }
                }
            }
            Piece::Broken(broken) if usage == Use::Runs => {
                found.push(Reason::Unreadable(file.at(Some(broken.line))));
            }
            // Perhaps it is whole once something else has read it.
            Piece::Text(text) if was_broken => words(file, text, found),
            Piece::Text(_) | Piece::Comment | Piece::Broken(_) => {}
        }
    }
}

/// Looks for functions in what follows braces and is no action.
fn words(file: File<'_>, text: &str, found: &mut Vec<Reason>) {
    let inside = text.split("}}").next().unwrap_or(text);
    let words = inside.split(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '$');
    for name in words.filter(|word| is_impure(word)) {
        found.push(Reason::Function { name: name.to_owned(), at: file.place(&[OPEN, name]) });
    }
}

fn action_calls(file: File<'_>, action: &Action<'_>, usage: Use, depth: usize, found: &mut Vec<Reason>) {
    for (index, token) in action.tokens.iter().enumerate() {
        let Token::Function(name) = token else { continue };
        let at = || match usage {
            Use::Runs if depth == 0 => file.at(Some(action.line)),
            _ => file.place(&[OPEN, name]),
        };
        // A legend of a chart of Grafana's, say: no function of that name does without an argument.
        if usage == Use::MayRun && action.tokens.len() == 1 && !NULLARY.contains(name) {
            continue;
        }
        let argument = argument(&action.tokens, index);
        let written = || argument.map(str::to_owned);
        found.extend(match *name {
            "env" | "requiredEnv" => {
                let is_known = argument.is_some_and(|variable| file.known_env.contains(variable));
                (!is_known).then(|| Reason::Variable { name: written(), at: at() })
            }
            "readFile" | "readDir" | "readDirEntries" | "isFile" | "isDir" => {
                let function = (*name).to_owned();
                (!argument.is_some_and(is_inside)).then(|| Reason::Read {
                    function,
                    path: written(),
                    at: at(),
                })
            }
            _ => {
                let is_free = if usage == Use::Runs { is_pure_in_helmfile(name) } else { !is_impure(name) };
                (!is_free).then(|| Reason::Function { name: (*name).to_owned(), at: at() })
            }
        });
    }
}

/// Functions that are not pure and take no arguments.
const NULLARY: [&str; 2] = ["now", "uuidv4"];

/// The one argument of the function at `index`, when it is a string: behind it, or alone before a `|`.
fn argument<'a>(tokens: &'a [Token<'_>], index: usize) -> Option<&'a str> {
    if let Some(Token::Literal(text)) = tokens.get(index + 1) {
        return Some(text);
    }
    let (before, _) = tokens.split_at(index);
    let [earlier @ .., Token::Literal(text), Token::Pipe] = before else { return None };
    let command = earlier.rsplit(|token| *token == Token::Pipe).next().unwrap_or(earlier);
    command.iter().all(|token| *token == Token::Other).then_some(text)
}

/// Whether a path stays in its folder, as it is written.
fn is_inside(path: &str) -> bool {
    Path::new(path)
        .components()
        .all(|component| matches!(component, Component::Normal(_) | Component::CurDir))
}

/// The secret stores that a text asks for. A template may still put the rest of the URL together.
pub(super) fn secrets(file: File<'_>, text: &str, usage: Use, found: &mut Vec<Reason>) {
    for (at, _) in text.match_indices(REF).take(ENOUGH) {
        let rest = text.split_at(at + REF.len()).1;
        let is_url = rest.split_once("://").is_some_and(|(scheme, _)| !scheme.contains(['+', ':']));
        if usage == Use::Runs || is_url {
            let backend: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
            let scheme = format!("{REF}{backend}");
            let at = file.place(&[&scheme]);
            found.push(Reason::Secret { scheme, at });
        }
    }
}

/// What a value of vals begins with; also the end of `secretref+`.
const REF: &str = "ref+";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str, usage: Use) -> Vec<String> {
        let known_env = BTreeSet::from(["OURS".to_owned()]);
        let file = File { path: "f", text, known_env: &known_env };
        let mut found = Vec::new();
        calls(file, text, usage, &mut found);
        secrets(file, text, usage, &mut found);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn templates_that_run() {
        for (text, expected) in [
            ("a: {{ .Values.a | default \"x\" | quote }}", None),
            ("{{ .Environment.Name }}{{ .Release.Name }}{{ .Values | get \"a\" \"b\" }}", None),
            ("{{ toYaml .StateValues | nindent 2 }}{{ tpl .a . }}{{ include \"x\" . }}", None),
            ("{{ env \"OURS\" }}{{ requiredEnv \"OURS\" | quote }}{{ \"OURS\" | env }}", None),
            ("{{ readFile \"a/b.yaml\" | fromYaml }}{{ isFile \"./a\" }}{{ if isDir `a` }}{{ end }}", None),
            ("{{/* {{ now }} */}}{{ $now := .now }}{{ \"now exec\" }}", None),
            ("{{ `{{ .Release.Name }}` }}{{ `{{ $labels.x | humanize }}` }}", None),
            ("x\n{{ now }}", Some("`now` in f line 2")),
            ("{{ env \"THEIRS\" }}", Some("the environment variable `THEIRS` in f line 1")),
            ("{{ \"THEIRS\" | env }}", Some("the environment variable `THEIRS` in f line 1")),
            ("{{ env .x }}", Some("environment variables in f line 1")),
            ("{{ env (print \"OURS\" .x) }}", Some("environment variables in f line 1")),
            ("{{ print .x \"OURS\" | env }}", Some("environment variables in f line 1")),
            ("{{ expandenv \"$OURS\" }}", Some("`expandenv` in f line 1")),
            ("{{ exec \"date\" (list) }}", Some("`exec` in f line 1")),
            ("{{ envExec .a \"b\" (list) }}", Some("`envExec` in f line 1")),
            ("{{ fetchSecretValue .a }}", Some("`fetchSecretValue` in f line 1")),
            ("{{ .a | expandSecretRefs }}", Some("`expandSecretRefs` in f line 1")),
            ("{{ getHostByName \"x\" }}", Some("`getHostByName` in f line 1")),
            ("{{ readFile \"../x\" }}", Some("`readFile` of `../x` in f line 1")),
            ("{{ readFile \"a/../../x\" }}", Some("`readFile` of `a/../../x` in f line 1")),
            ("{{ isFile \"/etc/x\" }}", Some("`isFile` of `/etc/x` in f line 1")),
            ("{{ readDir .x }}", Some("`readDir` of a path that is not written out in f line 1")),
            (
                "{{ readFile (print \"a\" .b) }}",
                Some("`readFile` of a path that is not written out in f line 1"),
            ),
            ("{{ ofTheFuture }}", Some("`ofTheFuture` in f line 1")),
            ("a\n{{ `{{ now }}` }}", Some("`now` in f line 2")),
            ("a\n{{ @ }}", Some("f line 2, which can't be looked at")),
            ("a: ref+vault://x", Some("values from `ref+vault` in f line 1")),
            ("\na: secretref+{{ .x }}", Some("values from `ref+` in f line 2")),
        ] {
            assert_eq!(found(text, Use::Runs).first().map(String::as_str), expected, "{text}");
        }
    }

    #[test]
    fn texts_that_may_run() {
        for (text, expected) in [
            ("{{ $value | humanize }} {{instance}} {{ .x }}", None),
            ("{{ env }} {{ date }} {{exec}} now", None),
            ("${{ matrix.os }} {{ @ }} {{ 'a b' }} {% now %}", None),
            ("x {{ it's unknown }}", None),
            ("how to use ref+ and ref+vault: nothing", None),
            ("{{ now }}", Some("`now` in f line 1")),
            ("{{ exec \"a\" (list) }}", Some("`exec` in f line 1")),
            ("{{ env \"A\" }}", Some("the environment variable `A` in f line 1")),
            ("{{ env \\\"A\\\" | x }}", Some("`env` in f line 1")),
            ("{{ \\\"A\\\" | env | \\\"x\\\" }}", Some("`env` in f line 1")),
            ("# {{ now }}\n{{ now }}", Some("`now` in f line 2")),
            ("ref+awssm://a", Some("values from `ref+awssm` in f line 1")),
            ("x-secretref+sops://a#/b", Some("values from `ref+sops` in f line 1")),
        ] {
            assert_eq!(found(text, Use::MayRun).first().map(String::as_str), expected, "{text}");
        }
    }

    #[test]
    fn comments_begin_where_they_begin() {
        for (line, expected) in
            [("a: b # c", "a: b "), ("# c", ""), ("a#b", "a#b"), ("a: ' # b'", "a: ' # b'"), ("a\t#b", "a\t")]
        {
            assert_eq!(without_comment(line), expected);
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_looked_at(text in "(\\{\\{|\\}\\}|ref\\+|://|now|env|[-\"'`\\\\#|:. \na-cö{}]){0,40}") {
            let _any = found(&text, Use::Runs);
            let _any = found(&text, Use::MayRun);
            let _any = super::super::state::masked(&text);
        }
    }
}
