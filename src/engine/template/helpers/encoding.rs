//! Helpers for YAML, JSON, base64 and digests.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    helper::Helper,
    values::{as_text, text},
};
use crate::{digest, yaml};

pub(super) const HELPERS: &[Helper] = &[
    Helper::new(
        "toYaml",
        "value",
        "The value as YAML in block style, without a line break at the end.",
        ["{{toYaml object.spec.labels}}", "tier: front\napp: web"],
        |args| Ok(text(yaml::print(args[0]).trim_end())),
    ),
    Helper::new(
        "fromYaml",
        "text",
        "The value of a YAML document; `null` when there is none.",
        ["{{get (fromYaml \"{a: {b: 1}}\") \"a.b\"}}", "1"],
        |args| {
            let mut documents = yaml::documents(&as_text(args[0])).map_err(|error| error.to_string())?;
            match documents.len() {
                0 | 1 => Ok(documents.pop().unwrap_or_default()),
                several => Err(format!("the text holds {several} YAML documents, expected one")),
            }
        },
    ),
    Helper::new(
        "toJson",
        "value",
        "The value as JSON in one line, which is YAML as well.",
        ["{{toJson object.spec.labels}}", r#"{"tier":"front","app":"web"}"#],
        |args| Ok(text(args[0].to_string())),
    ),
    Helper::new(
        "fromJson",
        "text",
        "The value of a JSON text.",
        [r#"{{first (fromJson "[1, 2]")}}"#, "1"],
        |args| serde_json::from_str(&as_text(args[0])).map_err(|error| error.to_string()),
    ),
    Helper::new("b64enc", "text", "In base64.", ["{{b64enc \"ada\"}}", "YWRh"], |args| {
        Ok(text(STANDARD.encode(as_text(args[0]))))
    }),
    Helper::new(
        "b64dec",
        "text",
        "The text of its base64, for example of a Secret's `data`. What is not text is refused.",
        ["{{b64dec (get (find references \"secret.v1\" object.spec.secretName) \"data.user\")}}", "ada"],
        |args| {
            let bytes = STANDARD.decode(as_text(args[0])).map_err(|_| "the value is not base64")?;
            String::from_utf8(bytes).map(text).map_err(|_| "the decoded value is not text".to_owned())
        },
    ),
    Helper::new(
        "sha256sum",
        "text",
        "The SHA-256 of the text in hex. As an annotation of a pod it starts new pods when a config changes.",
        ["{{trunc 8 (sha256sum (toJson object.spec.labels))}}", "7e86bc33"],
        |args| Ok(text(digest::sha256_hex(as_text(args[0]).as_bytes()))),
    ),
];
