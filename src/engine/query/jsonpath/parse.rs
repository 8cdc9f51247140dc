//! Reading a path.

use serde_json::Value;

use super::model::{Comparison, JsonPath, Operand, Selector, Step, Test};

/// A text that is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("JSONPath `{path}`, column {column}: found {found}, expected {expected}")]
pub struct JsonPathError {
    /// What was written.
    path: String,
    /// Where it goes wrong, in characters from 1.
    pub(super) column: usize,
    found: String,
    expected: String,
}

/// Filters in filters; more is no path that somebody wrote.
const MAX_DEPTH: usize = 16;

/// What ends a name that is not in quotes, unless there is a `\` before it; kubectl's list and what comes in filters.
const ENDS_NAME: &str = ".,[]$@{}()=!<>&|'\"";

impl JsonPath {
    /// Compiles a path: `{.spec.secretName}`, `.spec.secretName` and `spec.secretName` are the same.
    ///
    /// # Errors
    /// The first syntax error, with its column.
    pub fn compile(text: &str) -> Result<Self, JsonPathError> {
        Ok(Self { text: text.to_owned(), steps: steps(text)? })
    }
}

/// Reads all of a text.
fn steps(text: &str) -> Result<Vec<Step>, JsonPathError> {
    let mut parser = Parser { text, chars: text.chars().collect(), at: 0, depth: 0 };
    parser.whole()
}

struct Parser<'t> {
    text: &'t str,
    chars: Vec<char>,
    at: usize,
    depth: usize,
}

type Parsed<T> = Result<T, JsonPathError>;

impl Parser<'_> {
    fn whole(&mut self) -> Parsed<Vec<Step>> {
        self.skip_spaces();
        let in_braces = self.eat("{");
        self.skip_spaces();
        self.refuse_printing(in_braces)?;
        if self.peek().is_none_or(|char| char == '}') {
            return self.expected("a path, for example `.spec.secretName`");
        }
        if !(self.eat("$") || self.eat("@")) && self.peek().is_some_and(|char| !".[".contains(char)) {
            // kubectl's relaxed form leaves out the first dot.
            let first = self.name_or_star()?;
            let mut steps = vec![first];
            steps.extend(self.steps()?);
            return self.end(in_braces, steps);
        }
        // A dot alone is the object.
        let at_root = self.peek() == Some('.') && self.chars.get(self.at + 1).is_none_or(|char| *char == '}');
        self.at += usize::from(at_root);
        let steps = self.steps()?;
        self.end(in_braces, steps)
    }

    fn end(&mut self, in_braces: bool, steps: Vec<Step>) -> Parsed<Vec<Step>> {
        self.skip_spaces();
        if in_braces && !self.eat("}") {
            return self.expected("`.`, `[` or the closing `}`");
        }
        self.skip_spaces();
        match self.peek() {
            None => Ok(steps),
            Some(_) if in_braces => {
                self.expected("nothing: only one path in one pair of braces is understood")
            }
            Some(_) => self.expected("`.`, `[` or the end"),
        }
    }

    /// kubectl's templates print; a path here only finds.
    fn refuse_printing(&mut self, in_braces: bool) -> Parsed<()> {
        let rest: String = self.chars.iter().skip(self.at).take_while(|char| **char != '}').collect();
        let is_keyword = in_braces && (rest.trim() == "end" || rest.starts_with("range "));
        if is_keyword || rest.starts_with(['"', '\'']) {
            let found = rest.split_whitespace().next().unwrap_or_default();
            return Err(self.error(
                self.at,
                format!("`{found}`"),
                "a path: `range`, `end` and text are not understood; write `[*]` for all elements",
            ));
        }
        Ok(())
    }

    /// Steps that begin with `.` or `[`, as many as there are.
    fn steps(&mut self) -> Parsed<Vec<Step>> {
        let mut steps = Vec::new();
        loop {
            if self.eat("..") {
                steps.push(Step::Descend);
                if self.peek() != Some('[') {
                    steps.push(self.name_or_star()?);
                }
            } else if self.eat(".") {
                if self.peek() != Some('[') {
                    steps.push(self.name_or_star()?);
                }
            } else if self.eat("[") {
                steps.push(self.in_brackets()?);
            } else {
                return Ok(steps);
            }
        }
    }

    fn name_or_star(&mut self) -> Parsed<Step> {
        let mut name = String::new();
        while let Some(char) = self.peek() {
            if char == '\\' {
                self.at += 1;
                let Some(escaped) = self.peek() else { return self.expected("a character after `\\`") };
                name.push(escaped);
            } else if char.is_whitespace() || ENDS_NAME.contains(char) {
                break;
            } else {
                name.push(char);
            }
            self.at += 1;
        }
        match name.as_str() {
            "" => self.expected("a name or `*`"),
            "*" => Ok(Step::Select(vec![Selector::All])),
            _ => Ok(Step::Select(vec![Selector::Field(name)])),
        }
    }

    /// What comes after `[`, with the `]`.
    fn in_brackets(&mut self) -> Parsed<Step> {
        self.skip_spaces();
        if self.eat("?") {
            self.skip_spaces();
            self.must_eat("(", "`(` after `?`")?;
            let test = self.any()?;
            self.must_eat(")", "`&&`, `||`, a comparison or `)`")?;
            self.skip_spaces();
            self.must_eat("]", "`]`")?;
            return Ok(Step::Filter(test));
        }
        let mut selectors = Vec::new();
        loop {
            self.skip_spaces();
            selectors.push(self.selector()?);
            self.skip_spaces();
            if self.eat("]") {
                return Ok(Step::Select(selectors));
            }
            self.must_eat(",", "`,` or `]`")?;
        }
    }

    fn selector(&mut self) -> Parsed<Selector> {
        if let Some(name) = self.quoted()? {
            return Ok(Selector::Field(name));
        }
        if self.eat("*") {
            return Ok(Selector::All);
        }
        let from = self.integer()?;
        if !self.eat(":") {
            return match from {
                Some(index) => Ok(Selector::Index(index)),
                None => self.expected("a number, `*`, a name in quotes or `?(`"),
            };
        }
        let to = self.integer()?;
        let at = self.at;
        let by = if self.eat(":") { self.integer()?.unwrap_or(1) } else { 1 };
        match usize::try_from(by).ok().filter(|by| *by > 0) {
            Some(by) => Ok(Selector::Slice { from, to, by }),
            None => Err(self.error(at + 1, format!("`{by}`"), "a step of at least 1")),
        }
    }

    /// A text in quotes, if one begins here.
    fn quoted(&mut self) -> Parsed<Option<String>> {
        let Some(quote) = self.peek().filter(|char| "'\"".contains(*char)) else { return Ok(None) };
        self.at += 1;
        let mut text = String::new();
        loop {
            let mut next = self.peek();
            self.at += 1;
            if next == Some(quote) {
                return Ok(Some(text));
            }
            if next == Some('\\') {
                next = self.peek();
                self.at += 1;
            }
            let Some(char) = next else {
                self.at = self.chars.len();
                return self.expected(&format!("the closing {quote}"));
            };
            text.push(char);
        }
    }

    /// A whole number, if one begins here.
    fn integer(&mut self) -> Parsed<Option<i64>> {
        let from = self.at;
        if self.peek().is_some_and(|char| char == '-' || char.is_ascii_digit()) {
            self.at += 1;
            while self.peek().is_some_and(|char| char.is_ascii_digit()) {
                self.at += 1;
            }
        }
        let digits: String = self.chars[from..self.at].iter().collect();
        match digits.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) if digits.is_empty() => Ok(None),
            Err(_) => Err(self.error(from, format!("`{digits}`"), "a whole number")),
        }
    }

    fn any(&mut self) -> Parsed<Test> {
        let mut tests = vec![self.all()?];
        while self.eat_spaced("||") {
            tests.push(self.all()?);
        }
        Ok(if tests.len() == 1 { tests.remove(0) } else { Test::Any(tests) })
    }

    fn all(&mut self) -> Parsed<Test> {
        let mut tests = vec![self.test()?];
        while self.eat_spaced("&&") {
            tests.push(self.test()?);
        }
        Ok(if tests.len() == 1 { tests.remove(0) } else { Test::All(tests) })
    }

    fn test(&mut self) -> Parsed<Test> {
        self.skip_spaces();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.expected("no more filters in filters");
        }
        let test = if self.eat("(") {
            let test = self.any()?;
            self.must_eat(")", "`)`")?;
            test
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        self.skip_spaces();
        Ok(test)
    }

    fn comparison(&mut self) -> Parsed<Test> {
        let at = self.at;
        let left = self.operand()?;
        let comparison = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ]
        .into_iter()
        .find(|(sign, _)| self.eat_spaced(sign));
        match (comparison, &left) {
            (Some((_, comparison)), _) => {
                self.skip_spaces();
                Ok(Test::Compare(left, comparison, self.operand()?))
            }
            (None, Operand::Path(_)) => Ok(Test::Exists(left)),
            (None, Operand::Literal(value)) => {
                Err(self.error(at, format!("only `{value}`"), "a comparison with a path such as `@.kind`"))
            }
        }
    }

    fn operand(&mut self) -> Parsed<Operand> {
        if self.eat("@") {
            return Ok(Operand::Path(self.steps()?));
        }
        if let Some(text) = self.quoted()? {
            return Ok(Operand::Literal(Value::String(text)));
        }
        let from = self.at;
        while self.peek().is_some_and(|char| char.is_ascii_alphanumeric() || "+-.".contains(char)) {
            self.at += 1;
        }
        let word: String = self.chars[from..self.at].iter().collect();
        if let Ok(value) = serde_json::from_str(&word) {
            return Ok(Operand::Literal(value));
        }
        self.at = from;
        self.expected("`@`, a text in quotes, a number, `true`, `false` or `null`")
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn eat(&mut self, token: &str) -> bool {
        let len = token.chars().count();
        let is_next = self.chars.iter().skip(self.at).take(len).copied().eq(token.chars());
        self.at += if is_next { len } else { 0 };
        is_next
    }

    fn eat_spaced(&mut self, token: &str) -> bool {
        self.skip_spaces();
        self.eat(token)
    }

    fn must_eat(&mut self, token: &str, expected: &str) -> Parsed<()> {
        if self.eat(token) { Ok(()) } else { self.expected(expected) }
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    /// The error that something else was expected here.
    fn expected<T>(&self, expected: &str) -> Parsed<T> {
        let found =
            self.peek().map_or_else(|| "the end".to_owned(), |char| format!("`{}`", char.escape_debug()));
        Err(self.error(self.at, found, expected))
    }

    fn error(&self, at: usize, found: String, expected: &str) -> JsonPathError {
        let path = self.text.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\"");
        JsonPathError { path, column: at + 1, found, expected: expected.to_owned() }
    }
}
