//! Whether a text is encrypted with SOPS. Pure.

use serde_json::Value;

use crate::yaml;

/// Whether a text is YAML or JSON that SOPS has encrypted: it has a map `sops` with a `mac` at its top.
pub fn is_encrypted(text: &str) -> bool {
    // Most files are told by this, without reading them as YAML.
    if !text.contains("sops") || !text.contains("mac") {
        return false;
    }
    let has_mac = |document: &Value| document.pointer("/sops/mac").is_some_and(Value::is_string);
    yaml::documents(text).is_ok_and(|documents| documents.iter().any(has_mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_sops_has_written_counts() {
        for text in [
            "a: ENC[AES256_GCM,data:x,type:str]\nsops:\n  mac: ENC[AES256_GCM,data:y,type:str]\n  age: []\n",
            r#"{"a": "ENC[x]", "sops": {"mac": "ENC[y]"}}"#,
            "a: 1\n---\nb: ENC[x]\nsops: {mac: 'ENC[y]'}\n",
        ] {
            assert!(is_encrypted(text), "{text}");
        }
        for text in [
            "",
            "a: 1",
            "sops: true # mac",
            "sops: {mac: }",
            "x: {sops: {mac: y}}",
            "sops: {mac: y}\n: : {{ template }}",
        ] {
            assert!(!is_encrypted(text), "{text}");
        }
    }
}
