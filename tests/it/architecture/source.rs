//! A Rust file as far as the rules look at it: the paths that it names, and how long it is.
//!
//! A small scanner instead of a parser: it knows comments, literals, `use` trees and `#[cfg(test)]`, and nothing else. It
//! does not follow `super` out of a module that is written inside a file.

use std::{iter::Peekable, path::Path, str::Chars};

/// What one file says.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// All paths outside of tests. Our own begin with `crate`.
    pub mentions: Vec<Mention>,
    /// Number of lines, whatever is on them.
    pub lines: usize,
    /// Number of lines with code outside of tests that is neither `mod` nor `use`.
    pub code_lines: usize,
}

/// A path and where it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mention {
    pub line: usize,
    /// Like `crate::object::Key` or `std::fs::read`.
    pub path: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    line: usize,
    text: String,
}

/// Reads a file that lies at `path` below `src/`.
pub(super) fn read(path: &Path, text: &str) -> Source {
    let tokens = without_tests(&scan(text));
    let (mut uses, mut attributes, mut code) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = tokens.as_slice();
    while let [token, tail @ ..] = rest {
        rest = match token.text.as_str() {
            "use" => {
                drop_visibility(&mut code);
                let semicolon = use_tree(tail, &[], &mut uses);
                semicolon.get(1..).unwrap_or_default()
            }
            "mod" if tail.get(1).is_some_and(|token| token.text == ";") => {
                drop_visibility(&mut code);
                &tail[2..]
            }
            "#" => {
                let after = group(&tail[usize::from(tail.first().is_some_and(|token| token.text == "!"))..]);
                attributes.extend_from_slice(&tail[..tail.len() - after.len()]);
                after
            }
            _ => {
                code.push(token.clone());
                tail
            }
        };
    }
    let module = module_of(path);
    let plain = plain_paths(&attributes).into_iter().chain(plain_paths(&code));
    Source {
        mentions: uses.into_iter().chain(plain).filter_map(|found| resolve(&module, &found)).collect(),
        lines: text.lines().count(),
        code_lines: code.chunk_by(|one, next| one.line == next.line).count(),
    }
}

/// The module that a file is, as the names of its path.
fn module_of(path: &Path) -> Vec<String> {
    let names = path.with_extension("");
    let mut names: Vec<_> = names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    names.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
    names
}

/// Makes a path absolute.
fn resolve(module: &[String], found: &[Token]) -> Option<Mention> {
    let names: Vec<&str> = found.iter().map(|token| token.text.as_str()).collect();
    let line = found.last()?.line;
    let ups = names.iter().take_while(|name| **name == "super").count();
    let inside = |levels_up: usize, rest: &[&str]| {
        let kept = module.len().saturating_sub(levels_up);
        let names = ["crate"].into_iter().chain(module[..kept].iter().map(String::as_str));
        names.chain(rest.iter().copied()).collect::<Vec<_>>().join("::")
    };
    let path = match names.as_slice() {
        ["self", rest @ ..] => inside(0, rest),
        ["super", ..] => inside(ups, &names[ups..]),
        ["crate" | "helmfile_operator", rest @ ..] => inside(module.len(), rest),
        _ => names.join("::"),
    };
    Some(Mention { line, path })
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// The paths in code: at least two names with `::` between them.
fn plain_paths(tokens: &[Token]) -> Vec<Vec<Token>> {
    let mut paths: Vec<Vec<Token>> = Vec::new();
    let mut before = "";
    for token in tokens {
        match paths.last_mut() {
            Some(path) if before == "::" && is_name(&token.text) => path.push(token.clone()),
            _ if is_name(&token.text) && before != "." => paths.push(vec![token.clone()]),
            // Ends the path, so that `<A as B>::c` does not go on.
            _ if token.text != "::" => paths.push(Vec::new()),
            _ => {}
        }
        before = &token.text;
    }
    paths.retain(|path| path.len() > 1);
    paths
}

/// What comes after `use`, up to the semicolon or the end of the braces it is in: one path for each leaf.
fn use_tree<'a>(mut rest: &'a [Token], prefix: &[Token], found: &mut Vec<Vec<Token>>) -> &'a [Token] {
    let mut path = prefix.to_vec();
    while let [token, tail @ ..] = rest {
        match token.text.as_str() {
            ";" | "," | "}" => break,
            "{" => {
                rest = tail;
                while let Some(token) = rest.first().filter(|token| token.text != "}") {
                    rest = if token.text == "," { &rest[1..] } else { use_tree(rest, &path, found) };
                }
                return rest.get(1..).unwrap_or_default();
            }
            // The new name is nobody else's.
            "as" => rest = tail.get(1..).unwrap_or_default(),
            // `{self, …}` names what is before the braces.
            "self" if !path.is_empty() => rest = tail,
            "::" => rest = tail,
            _ => {
                path.push(token.clone());
                rest = tail;
            }
        }
    }
    found.push(path);
    rest
}

/// Skips a bracketed group that begins here.
fn group(rest: &[Token]) -> &[Token] {
    let mut depth = 0;
    for (at, token) in rest.iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &rest[at + 1..];
        }
    }
    &[]
}

/// Takes back the `pub` or `pub(crate)` before an item that does not count as code.
fn drop_visibility(code: &mut Vec<Token>) {
    let visibility = code.iter().rposition(|token| token.text == "pub");
    if let Some(at) =
        visibility.filter(|at| code.len() == at + 1 || code[at + 1].text == "(" && code.len() == at + 4)
    {
        code.truncate(at);
    }
}

/// Drops each item that is marked `#[cfg(test)]`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut rest = tokens;
    while let [token, tail @ ..] = rest {
        if rest.len() >= MARK.len() && rest.iter().zip(MARK).all(|(token, mark)| token.text == mark) {
            rest = after_item(&rest[MARK.len()..]);
        } else {
            kept.push(token.clone());
            rest = tail;
        }
    }
    kept
}

/// Skips one item: up to its semicolon, or to the end of its braces and a semicolon behind them.
fn after_item(mut rest: &[Token]) -> &[Token] {
    while let [token, tail @ ..] = rest {
        rest = match token.text.as_str() {
            ";" => return tail,
            "(" | "[" => group(rest),
            "{" => {
                let tail = group(rest);
                return if tail.first().is_some_and(|token| token.text == ";") { &tail[1..] } else { tail };
            }
            _ => tail,
        };
    }
    rest
}

/// Names, `::` and single characters; without comments and literals.
fn scan(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = text.chars().peekable();
    while let Some(char) = rest.next() {
        let mut text = char.to_string();
        match char {
            '\n' => line += 1,
            '/' if rest.next_if_eq(&'/').is_some() => while rest.next_if(|char| *char != '\n').is_some() {},
            '/' if rest.next_if_eq(&'*').is_some() => line += skip_comment(&mut rest),
            '"' => line += skip_string(&mut rest, None),
            '\'' => skip_quote(&mut rest),
            ':' if rest.next_if_eq(&':').is_some() => tokens.push(Token { line, text: "::".to_owned() }),
            _ if char.is_alphanumeric() || char == '_' => {
                while let Some(next) = rest.next_if(|char| char.is_alphanumeric() || *char == '_') {
                    text.push(next);
                }
                let raw = ["r", "br", "cr"].contains(&text.as_str());
                match rest.peek() {
                    Some('"') if raw || text == "b" || text == "c" => {
                        rest.next();
                        line += skip_string(&mut rest, raw.then_some(0));
                    }
                    Some('#') if raw => {
                        let mut hashes = 0;
                        while rest.next_if_eq(&'#').is_some() {
                            hashes += 1;
                        }
                        // Otherwise it is a name such as `r#type`.
                        if rest.next_if_eq(&'"').is_some() {
                            line += skip_string(&mut rest, Some(hashes));
                        }
                    }
                    _ => tokens.push(Token { line, text }),
                }
            }
            _ if char.is_whitespace() => {}
            _ => tokens.push(Token { line, text }),
        }
    }
    tokens
}

/// Skips a comment, after its beginning; they nest. Returns the number of line ends in it.
fn skip_comment(rest: &mut Peekable<Chars<'_>>) -> usize {
    let (mut depth, mut lines) = (1, 0);
    while depth > 0 {
        match (rest.next(), rest.peek()) {
            (Some('*'), Some('/')) => {
                depth -= 1;
                rest.next();
            }
            (Some('/'), Some('*')) => {
                depth += 1;
                rest.next();
            }
            (Some('\n'), _) => lines += 1,
            (Some(_), _) => {}
            (None, _) => break,
        }
    }
    lines
}

/// Skips a string, after its first quote; a raw one ends with that many `#`. Returns the number of line ends in it.
fn skip_string(rest: &mut Peekable<Chars<'_>>, raw: Option<usize>) -> usize {
    let mut lines = 0;
    while let Some(char) = rest.next() {
        match char {
            '\n' => lines += 1,
            '\\' if raw.is_none() => lines += usize::from(rest.next() == Some('\n')),
            '"' => {
                let hashes = raw.unwrap_or(0);
                if (0..hashes).all(|_| rest.next_if_eq(&'#').is_some()) {
                    break;
                }
            }
            _ => {}
        }
    }
    lines
}

/// Skips a character, or only the quote of a lifetime.
fn skip_quote(rest: &mut Peekable<Chars<'_>>) {
    let mut ahead = rest.clone();
    let escaped = ahead.next() == Some('\\');
    if escaped {
        rest.nth(1);
        while rest.next().is_some_and(|char| char != '\'') {}
    } else if ahead.next() == Some('\'') {
        rest.nth(1);
    }
}
