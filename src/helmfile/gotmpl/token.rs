//! The lexer: a text to the tokens of its actions, `{{ … }}`.
//!
//! It follows the one of Go's `text/template`. What that refuses is refused here too: nothing may look harmless because it
//! was read in another way.

use std::borrow::Cow;

/// A part of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token<'a> {
    /// A name without a dot: a function.
    Function(&'a str),
    /// `.name`, without its dot.
    Field(&'a str),
    /// A string, as it is after its escapes.
    Literal(Cow<'a, str>),
    /// `|`.
    Pipe,
    /// A keyword, variable, number, character or other sign.
    Other,
}

/// One `{{ … }}`, no comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action<'a> {
    /// Where it begins, from 1.
    pub line: usize,
    /// What is in it.
    pub tokens: Vec<Token<'a>>,
}

/// A text that Go would not take as a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an action that can't be read in line {line}")]
pub struct Unreadable {
    /// Where the action begins, from 1.
    pub line: usize,
}

/// The actions of a text, in order.
///
/// # Errors
/// When one of them is malformed.
pub fn actions(text: &str) -> Result<Vec<Action<'_>>, Unreadable> {
    let found = pieces(text).filter_map(|piece| match piece {
        Piece::Action(action) => Some(Ok(action)),
        Piece::Broken(unreadable) => Some(Err(unreadable)),
        Piece::Text(_) | Piece::Comment => None,
    });
    found.collect()
}

/// What a text is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Comes out as it is, apart from spaces.
    Text(&'a str),
    /// `{{/* … */}}`.
    Comment,
    /// Is run.
    Action(Action<'a>),
    /// Only the braces; what is behind them follows as a text.
    Broken(Unreadable),
}

/// The pieces of a text, in order.
pub fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    Pieces { rest: text, line: 1, has_comment_end: true }
}

struct Pieces<'a> {
    rest: &'a str,
    line: usize,
    /// Whether there may be an end of a comment: without it each beginning would be searched to the end of the text.
    has_comment_end: bool,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let Some(inside) = self.rest.strip_prefix(OPEN) else {
            let (text, after) = self.rest.split_at(self.rest.find(OPEN).unwrap_or(self.rest.len()));
            self.line += newlines(text);
            self.rest = after;
            return (!text.is_empty()).then_some(Piece::Text(text));
        };
        let line = self.line;
        let read = if let Some(text) = skip_trim(inside).strip_prefix("/*") {
            let end = if self.has_comment_end { text.split_once("*/") } else { None };
            self.has_comment_end = end.is_some();
            end.and_then(|(_, rest)| close(rest)).map(|after| (Piece::Comment, after))
        } else {
            action(skip_trim(inside)).map(|(tokens, after)| (Piece::Action(Action { line, tokens }), after))
        };
        let (piece, after) = read.unwrap_or((Piece::Broken(Unreadable { line }), inside));
        self.line += inside.get(..inside.len() - after.len()).map_or(0, newlines);
        self.rest = after;
        Some(piece)
    }
}

/// What begins an action.
pub const OPEN: &str = "{{";
const CLOSE: &str = "}}";
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];
const KEYWORDS: [&str; 13] = [
    "block", "break", "continue", "define", "else", "end", "false", "if", "nil", "range", "template", "true",
    "with",
];

fn newlines(text: &str) -> usize {
    text.matches('\n').count()
}

/// Leaves out `-` with a space behind it, which trims the text before the action.
fn skip_trim(inside: &str) -> &str {
    inside.strip_prefix('-').and_then(|rest| rest.strip_prefix(SPACES)).unwrap_or(inside)
}

/// What is behind the end of an action, when the text begins with one.
fn close(text: &str) -> Option<&str> {
    let trimmed = text.strip_prefix(SPACES).and_then(|rest| rest.strip_prefix('-'));
    trimmed.and_then(|rest| rest.strip_prefix(CLOSE)).or_else(|| text.strip_prefix(CLOSE))
}

/// The tokens up to the end of the action, and what is behind it.
fn action(mut rest: &str) -> Option<(Vec<Token<'_>>, &str)> {
    let mut tokens = Vec::new();
    loop {
        if let Some(after) = close(rest) {
            return Some((tokens, after));
        }
        let first = rest.chars().next()?;
        if SPACES.contains(&first) {
            rest = rest.strip_prefix(first)?;
            continue;
        }
        let (token, after) = token(first, rest)?;
        tokens.push(token);
        rest = after;
    }
}

fn token(first: char, rest: &str) -> Option<(Token<'_>, &str)> {
    let behind = rest.strip_prefix(first)?;
    Some(match first {
        '"' => {
            let (content, after) = quoted(behind, '"')?;
            (Token::Literal(unescaped(content)?), after)
        }
        '\'' => (Token::Other, quoted(behind, '\'')?.1),
        '`' => {
            let (content, after) = behind.split_once('`')?;
            // As Go does with source code.
            let content =
                if content.contains('\r') { content.replace('\r', "").into() } else { content.into() };
            (Token::Literal(content), after)
        }
        '.' if !behind.starts_with(|c: char| c.is_ascii_digit()) => match word(behind) {
            ("", _) => (Token::Other, behind),
            (name, after) => (Token::Field(name), after),
        },
        '$' => (Token::Other, word(behind).1),
        '|' => (Token::Pipe, behind),
        '(' | ')' | ',' | '=' => (Token::Other, behind),
        ':' => (Token::Other, behind.strip_prefix('=')?),
        '.' | '+' | '-' | '0'..='9' => (Token::Other, number(rest)?),
        _ => match word(rest) {
            ("", _) => return None,
            (name, after) if KEYWORDS.contains(&name) => (Token::Other, after),
            (name, after) => (Token::Function(name), after),
        },
    })
}

/// The word that the text begins with, which may be empty, and what is behind it.
fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(text.len());
    text.split_at(end)
}

/// What is behind a number; `None` when a word sticks to it.
fn number(text: &str) -> Option<&str> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (digits, after) = unsigned.split_at(
        unsigned.find(|c: char| c != '.' && c != '_' && !c.is_alphanumeric()).unwrap_or(unsigned.len()),
    );
    let is_number = digits.trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_hexdigit() || "._xXoOpPi".contains(c));
    is_number.then_some(after)
}

/// The inner text of what `quote` ends, and what is behind it. Such a text ends on its own line.
fn quoted(text: &str, quote: char) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '\n' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some((text.get(..at)?, text.get(at + 1..)?)),
            _ => {}
        }
    }
    None
}

/// The text without its escapes; `None` when one of them is malformed. Bytes beyond ASCII come out as some character.
fn unescaped(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('\\') {
        return Some(text.into());
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\\') {
        plain.push_str(before);
        let kind = behind.chars().next()?;
        let (c, length) = match kind {
            'a' => ('\u{7}', 1),
            'b' => ('\u{8}', 1),
            'f' => ('\u{c}', 1),
            'n' => ('\n', 1),
            'r' => ('\r', 1),
            't' => ('\t', 1),
            'v' => ('\u{b}', 1),
            '\\' | '"' | '\'' => (kind, 1),
            'x' => (code(behind.get(1..3)?, 16)?, 3),
            'u' => (code(behind.get(1..5)?, 16)?, 5),
            'U' => (code(behind.get(1..9)?, 16)?, 9),
            '0'..='7' => (code(behind.get(..3)?, 8)?, 3),
            _ => return None,
        };
        plain.push(c);
        rest = behind.get(length..)?;
    }
    plain.push_str(rest);
    Some(plain.into())
}

fn code(digits: &str, radix: u32) -> Option<char> {
    // `from_str_radix` would take a sign.
    let number = digits
        .chars()
        .try_fold(0_u32, |number, c| number.checked_mul(radix)?.checked_add(c.to_digit(radix)?))?;
    char::from_u32(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Functions, fields with a dot, literals in quotes.
    fn shown(text: &str) -> Option<String> {
        let actions = actions(text).ok()?;
        let tokens = actions.iter().flat_map(|action| &action.tokens).filter_map(|token| match token {
            Token::Function(name) => Some((*name).to_owned()),
            Token::Field(name) => Some(format!(".{name}")),
            Token::Literal(text) => Some(format!("{text:?}")),
            Token::Pipe => Some("|".to_owned()),
            Token::Other => None,
        });
        Some(tokens.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn takes_actions_apart() {
        for (text, expected) in [
            ("now", ""),
            ("{{now}}", "now"),
            ("a {{ now }} b {{ env \"A\" }}", "now env \"A\""),
            ("{{- now -}}", "now"),
            ("{{-\nnow\n-}}", "now"),
            ("{{ .now.now }}", ".now .now"),
            ("{{ $now := .x }}{{ $now.now }}", ".x .now"),
            ("{{ $ }}{{ . }}{{ $.now }}", ".now"),
            ("{{ . now }}", "now"),
            ("{{ (.a).b | now }}", ".a .b | now"),
            ("{{ (now).Unix }}", "now .Unix"),
            ("{{ now.Unix }}", "now .Unix"),
            ("{{ if and .a (not nil) }}{{ else if true }}{{ end }}", "and .a not"),
            ("{{ range $i, $e := .l }}{{ break }}{{ continue }}{{ end }}", ".l"),
            (
                "{{ define \"now\" }}{{ template \"now\" . }}{{ block \"now\" now }}",
                r#""now" "now" "now" now"#,
            ),
            ("{{ \"now }} \\\" now\" | x }}", r#""now }} \" now" | x"#),
            ("{{ `now }} \" now` | x }}", r#""now }} \" now" | x"#),
            ("{{ `\nnow\n` }}", r#""\nnow\n""#),
            ("{{ '\"' }}{{ now }}", "now"),
            ("{{ '`' }}{{ now }}{{ '\\'' }}", "now"),
            ("{{/* now */}}", ""),
            ("{{- /* now }} {{ now */ -}} {{ x }}", "x"),
            ("{{/* a */}}{{ now }}{{/* b */}}", "now"),
            ("{{ 1 }}{{ -1.5e3 }}{{ 0x1F }}{{ +3 }}{{ .5 }}{{ 1_000 }}", ""),
            ("{{-3}}{{now}}", "now"),
            ("{{ add 1 2|now }}", "add | now"),
            ("{{ print \"\\x7b\\u007b\\173\" }}", r#"print "{{{""#),
            ("{{}}", ""),
            ("}} {{ a }} }}", "a"),
            ("{{ now_ }}{{ nöw }}", "now_ nöw"),
            ("{{ a,b }}", "a b"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for text in [
            "{{",
            "{{ now",
            "{{ now }",
            "{{ \"a }}",
            "{{ \"a\n\" }}",
            "{{ `a }}",
            "{{ ' }}",
            "{{/* a }}",
            "{{/* a */ }}",
            "{{/* a */ b }}",
            "{{-  /* a */}}",
            "{{ a: b }}",
            "{{ 3now }}",
            "{{ - }}",
            "{{ a - b }}",
            "{{ a @ b }}",
            "{{ { }}",
            "{{ % }}",
            "{{ \\\"a\\\" }}",
            "{{ \"\\z\" }}",
            "{{ \"\\x7\" }}",
            "{{ \"\\u{7b}\" }}",
            "{{ \"\\x+7\" }}",
            "{{ \"\\777777777\\\" }}",
            "{{{ .a }}}",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    #[test]
    fn counts_lines() {
        let lines = |text| actions(text).unwrap().iter().map(|action| action.line).collect::<Vec<_>>();
        assert_eq!(lines("{{ a }}\n\n{{ b\n}}{{ c }}\n{{/* \n\n */}}{{ `\n` }}\n{{ d }}"), [1, 3, 4, 7, 9]);
        assert_eq!(actions("a\n{{ a }}\n{{\n\n@ }}"), Err(Unreadable { line: 3 }));
    }

    #[test]
    fn what_is_behind_a_broken_action_is_looked_at() {
        let pieces: Vec<_> = pieces("a {{ @ {{/* */}}{{ b").collect();
        let broken = Piece::Broken(Unreadable { line: 1 });
        let expected = [
            Piece::Text("a "),
            broken.clone(),
            Piece::Text(" @ "),
            Piece::Comment,
            broken,
            Piece::Text(" b"),
        ];
        assert_eq!(pieces, expected);
    }

    #[test]
    fn a_long_text_takes_no_longer_than_it_is() {
        // Each of them would take minutes if what is behind were read again for each piece.
        for part in ["{{/* ", "{{ a }}\n", "{{ ` ", "{{ \" ", "{{ a ", "{{"] {
            let text = part.repeat(200_000);
            assert!(pieces(&text).count() >= 100_000, "{part}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(\\{\\{|\\}\\}|[-\"'`\\\\/*.$|:=()a-z0-9xuU \n\rö{}]){0,60}") {
            let _any = actions(&text);
        }

        #[test]
        fn a_call_is_found_wherever_it_stands(
            before in "(\\{\\{- \\.a \\| quote \\}\\}|\\{\\{/\\* \" \\*/\\}\\}|\\{\\{ \"`\" '\"' \\}\\}|[a-z\"'`\n}]){0,8}",
            inner in "(\\$x|\\.y|\"\\}\\}\"|`\\}\\}`|\\(|\\)| 1 | |\n|'\\}'){0,8}",
        ) {
            let text = format!("{before}{{{{ {inner} now }}}}");
            let found = actions(&text).unwrap();
            let is_now = |token: &Token<'_>| *token == Token::Function("now");
            prop_assert!(found.last().unwrap().tokens.last().is_some_and(is_now), "{text}");
        }
    }
}
