//! Helpers that make text from text.

use serde_json::Value;

use super::{
    helper::Helper,
    values::{as_text, brief, count, items, text, text_of},
};
use crate::digest;

/// What Kubernetes allows a label, and the name of most objects.
const LABEL: usize = 63;
/// How much of a digest tells two long names apart.
const SUFFIX: usize = 8;
/// What a compiled pattern may take, in bytes.
const PATTERN: usize = 1 << 20;

pub(super) const HELPERS: &[Helper] = &[
    Helper::new(
        "quote",
        "value",
        "The value as a text in double quotes, with what needs it escaped. For every text in a manifest that YAML could take for something else.",
        ["tag: {{quote object.spec.replicas}}", "tag: \"2\""],
        |args| Ok(text(Value::from(as_text(args[0])).to_string())),
    ),
    Helper::new(
        "squote",
        "value",
        "The value as a text in single quotes. A text of several lines is refused, since YAML would fold it.",
        ["{{squote \"it's\"}}", "'it''s'"],
        |args| {
            let plain = as_text(args[0]);
            if plain.contains(['\n', '\r']) {
                return Err("a text of several lines can't be in single quotes; use `quote`".to_owned());
            }
            Ok(text(format!("'{}'", plain.replace('\'', "''"))))
        },
    ),
    Helper::new(
        "indent",
        "width text",
        "Puts so many spaces before each line that is not empty.",
        ["{{indent 2 \"a\\nb\"}}", "  a\n  b"],
        |args| indent(count(args[0])?, &as_text(args[1]), ""),
    ),
    Helper::new(
        "nindent",
        "width text",
        "A line break, then `indent`: for a block below a key.",
        ["ports:{{nindent 2 (toYaml object.spec.ports)}}", "ports:\n  - 80\n  - 443"],
        |args| indent(count(args[0])?, &as_text(args[1]), "\n"),
    ),
    Helper::new(
        "concat",
        "value…",
        "All values as one text; lists as one list.",
        ["{{concat object.metadata.namespace \"/\" object.metadata.name}}", "shop/web"],
        concat,
    ),
    Helper::new("lower", "text", "In lower case.", ["{{lower \"Web\"}}", "web"], |args| {
        Ok(text(as_text(args[0]).to_lowercase()))
    }),
    Helper::new("upper", "text", "In upper case.", ["{{upper \"web\"}}", "WEB"], |args| {
        Ok(text(as_text(args[0]).to_uppercase()))
    }),
    Helper::new(
        "title",
        "text",
        "The first letter of each word in upper case.",
        ["{{title \"hello world\"}}", "Hello World"],
        |args| Ok(text(title(&as_text(args[0])))),
    ),
    Helper::new(
        "trim",
        "text",
        "Without white space at either end.",
        ["[{{trim \" web \"}}]", "[web]"],
        |args| Ok(text(as_text(args[0]).trim())),
    ),
    Helper::new(
        "trimPrefix",
        "prefix text",
        "Without this beginning, if it has it.",
        ["{{trimPrefix \"v\" \"v1.2\"}}", "1.2"],
        |args| {
            let (prefix, whole) = (as_text(args[0]), as_text(args[1]));
            Ok(text(whole.strip_prefix(&prefix).unwrap_or(&whole)))
        },
    ),
    Helper::new(
        "trimSuffix",
        "suffix text",
        "Without this end, if it has it.",
        ["{{trimSuffix \".git\" \"app.git\"}}", "app"],
        |args| {
            let (suffix, whole) = (as_text(args[0]), as_text(args[1]));
            Ok(text(whole.strip_suffix(&suffix).unwrap_or(&whole)))
        },
    ),
    Helper::new(
        "trunc",
        "length text",
        "The first so many characters.",
        ["{{trunc 3 \"production\"}}", "pro"],
        |args| Ok(text(as_text(args[1]).chars().take(count(args[0])?).collect::<String>())),
    ),
    Helper::new(
        "replace",
        "old new text",
        "Each `old` in the text becomes `new`.",
        ["{{replace \".\" \"-\" \"a.b.c\"}}", "a-b-c"],
        |args| {
            let (old, new, whole) = (as_text(args[0]), as_text(args[1]), as_text(args[2]));
            let found = whole.matches(not_empty(&old)?).count();
            text_of(whole.len().saturating_add(found.saturating_mul(new.len())), || whole.replace(&old, &new))
        },
    ),
    Helper::new(
        "repeat",
        "times text",
        "The text so many times, at most 1000.",
        ["{{repeat 3 \"ab\"}}", "ababab"],
        |args| {
            let (times, once) = (count(args[0])?, as_text(args[1]));
            text_of(once.len().saturating_mul(times), || once.repeat(times))
        },
    ),
    Helper::new(
        "contains",
        "part text",
        "Whether the part is in the text.",
        ["{{contains \"gin\" object.spec.image}}", "true"],
        |args| Ok(as_text(args[1]).contains(&as_text(args[0])).into()),
    ),
    Helper::new(
        "hasPrefix",
        "prefix text",
        "Whether the text begins so.",
        ["{{hasPrefix \"nginx:\" object.spec.image}}", "true"],
        |args| Ok(as_text(args[1]).starts_with(&as_text(args[0])).into()),
    ),
    Helper::new(
        "hasSuffix",
        "suffix text",
        "Whether the text ends so.",
        ["{{hasSuffix \":latest\" object.spec.image}}", "false"],
        |args| Ok(as_text(args[1]).ends_with(&as_text(args[0])).into()),
    ),
    Helper::new(
        "split",
        "separator text",
        "A list of the parts between the separators.",
        ["{{first (split \":\" object.spec.image)}}", "nginx"],
        |args| {
            let (separator, whole) = (as_text(args[0]), as_text(args[1]));
            Ok(whole.split(not_empty(&separator)?).map(text).collect())
        },
    ),
    Helper::new(
        "join",
        "separator list?",
        "The items of a list as one text.",
        ["{{join \", \" object.spec.ports}}", "80, 443"],
        join,
    ),
    Helper::new(
        "regexMatch",
        "pattern text",
        "Whether the pattern is found in the text. Patterns are those of Rust's `regex`, nearly those of Go: anchor with `^` and `$`.",
        ["{{regexMatch \"^[a-z]+:[0-9.]+$\" object.spec.image}}", "true"],
        |args| Ok(pattern(args[0])?.is_match(&as_text(args[1])).into()),
    ),
    Helper::new(
        "regexFind",
        "pattern text",
        "The first place that fits the pattern; an empty text when there is none.",
        ["{{regexFind \"[0-9]+\" object.spec.image}}", "1"],
        |args| {
            let whole = as_text(args[1]);
            Ok(text(pattern(args[0])?.find(&whole).map_or("", |found| found.as_str())))
        },
    ),
    Helper::new(
        "regexReplaceAll",
        "pattern text replacement",
        "Each place that fits the pattern becomes the replacement, in which `${1}` is what the first pair of brackets found.",
        ["{{regexReplaceAll \"([a-z]+):.*\" object.spec.image \"${1}:next\"}}", "nginx:next"],
        replace_all,
    ),
    Helper::new(
        "dnsLabel",
        "text",
        "A name that Kubernetes accepts, at most 63 characters: lower case, with `-` for what is not allowed. Where characters had to be replaced or cut, a part of the text's digest ends it, so that two texts don't get one name.",
        ["{{dnsLabel \"Web\"}} {{dnsLabel \"shop/web\"}}", "web shop-web-97375646"],
        |args| dns_label(&as_text(args[0])).map(text),
    ),
];

fn not_empty(separator: &str) -> Result<&str, String> {
    if separator.is_empty() { Err("argument 1 is an empty text".to_owned()) } else { Ok(separator) }
}

fn indent(width: usize, plain: &str, before: &str) -> Result<Value, String> {
    let bytes = plain.len().saturating_add(plain.lines().count().saturating_mul(width));
    text_of(bytes, || {
        let margin = " ".repeat(width);
        let lines = plain.lines().map(|line| match line {
            "" => String::new(),
            line => format!("{margin}{line}"),
        });
        before.to_owned() + &lines.collect::<Vec<_>>().join("\n")
    })
}

fn concat(args: &[&Value]) -> Result<Value, String> {
    if args[0].is_array() {
        let lists = args.iter().map(|list| items(list)).collect::<Result<Vec<_>, _>>()?;
        return Ok(lists.concat().into());
    }
    Ok(text(args.iter().map(|arg| as_text(arg)).collect::<String>()))
}

fn join(args: &[&Value]) -> Result<Value, String> {
    let separator = as_text(args[0]);
    let parts: Vec<String> = items(args[1])?.iter().map(as_text).collect();
    let bytes = parts.iter().map(|part| part.len().saturating_add(separator.len())).sum();
    text_of(bytes, || parts.join(&separator))
}

fn title(plain: &str) -> String {
    let mut begins = true;
    let letters = plain.chars().map(|letter| {
        let first = std::mem::replace(&mut begins, letter.is_whitespace());
        if first { letter.to_uppercase().collect::<String>() } else { letter.to_string() }
    });
    letters.collect()
}

/// Patterns take time in proportion to the text, whoever wrote them; only their size needs a bound.
fn pattern(source: &Value) -> Result<regex::Regex, String> {
    let Value::String(source) = source else { return Err(format!("{} is not a pattern", brief(source))) };
    regex::RegexBuilder::new(source).size_limit(PATTERN).build().map_err(|error| {
        let message = error.to_string();
        // The parser draws the pattern first; what is wrong with it is the last line.
        let reason = message.lines().last().unwrap_or_default().trim();
        format!("the pattern is not valid: {}", reason.trim_start_matches("error: "))
    })
}

fn replace_all(args: &[&Value]) -> Result<Value, String> {
    let (pattern, whole, replacement) = (pattern(args[0])?, as_text(args[1]), as_text(args[2]));
    let mut out = String::new();
    let mut end = 0;
    for found in pattern.captures_iter(&whole) {
        let Some(place) = found.get(0) else { continue };
        out.push_str(whole.get(end..place.start()).unwrap_or_default());
        found.expand(&replacement, &mut out);
        end = place.end();
        // Stops before memory does: a replacement may name what it found many times.
        text_of(out.len(), String::new)?;
    }
    out.push_str(whole.get(end..).unwrap_or_default());
    Ok(text(out))
}

fn dns_label(whole: &str) -> Result<String, String> {
    let lower = whole.to_lowercase();
    let allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let letters = lower.chars().map(|letter| if allowed(letter) { letter } else { '-' });
    let mut label = letters.collect::<String>().trim_matches('-').to_owned();
    if label.is_empty() {
        return Err("the text has no letter or digit that a name may have".to_owned());
    }
    if label != lower || label.len() > LABEL {
        let digest = digest::sha256_hex(whole.as_bytes());
        label.truncate(LABEL - SUFFIX - 1);
        label = format!("{}-{}", label.trim_end_matches('-'), digest.get(..SUFFIX).unwrap_or(&digest));
    }
    Ok(label)
}
