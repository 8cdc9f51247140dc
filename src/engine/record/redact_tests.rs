use serde_json::json;

use super::*;

#[test]
fn what_is_in_the_place_of_a_secret_is_hidden_and_the_rest_is_not() {
    for (value, expected) in [
        (
            json!({"kind": "Secret", "metadata": {"name": "a"}, "data": {"p": "aHVudGVyMg=="}, "type": "Opaque"}),
            json!({"kind": "Secret", "metadata": {"name": "a"}, "data": {"p": "<redacted: 12 bytes>"}, "type": "Opaque"}),
        ),
        (
            json!({"kind": "Secret", "metadata": {"annotations": {"x/token": "abc", "x/team": "b"}}}),
            json!({"kind": "Secret", "metadata": {"annotations": {"x/token": "<redacted: 3 bytes>", "x/team": "b"}}}),
        ),
        (
            json!({"kind": "SecretList", "items": [{"stringData": {"p": "x"}}]}),
            json!({"kind": "SecretList", "items": [{"stringData": {"p": "<redacted: 1 bytes>"}}]}),
        ),
        (
            json!({"step": "patch", "object": {"kind": "Secret", "name": "a"}, "patch": {"data": {"p": "eA=="}}}),
            json!({"step": "patch", "object": {"kind": "Secret", "name": "a"}, "patch": {"data": {"p": "<redacted: 4 bytes>"}}}),
        ),
        (
            json!({"kind": "ConfigMap", "data": {"color": "blue", "dbPassword": "x", "port": 1}}),
            json!({"kind": "ConfigMap", "data": {"color": "blue", "dbPassword": "<redacted: 1 bytes>", "port": 1}}),
        ),
        (
            json!({"env": [{"name": "MODE", "value": "fast"}, {"name": "P", "valueFrom": {"secretKeyRef": {"name": "s"}}}]}),
            json!({"env": [{"name": "MODE", "value": "<redacted: 4 bytes>"}, {"name": "P", "valueFrom": {"secretKeyRef": {"name": "s"}}}]}),
        ),
        (json!({"env": {"MODE": "fast"}}), json!({"env": {"MODE": "<redacted: 4 bytes>"}})),
        (
            json!({"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}),
            json!({"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "<redacted: 2 bytes>"}}),
        ),
        (
            json!({"secretName": "s", "imagePullSecrets": [{"name": "s"}], "automountServiceAccountToken": false}),
            json!({"secretName": "s", "imagePullSecrets": [{"name": "s"}], "automountServiceAccountToken": false}),
        ),
        (
            json!({"args": ["--api-token=abc", "--url=https://u:p@h/x", "--level=3"]}),
            json!({"args": ["--api-token=<redacted: 3 bytes>", "--url=https://***@h/x", "--level=3"]}),
        ),
    ] {
        assert_eq!(json(&value), expected);
    }
}

#[test]
fn what_follows_the_name_of_a_credential_is_hidden_in_texts() {
    for (text, expected) in [
        ("login with password=hunter2 failed", "login with password=<redacted: 7 bytes> failed"),
        ("Authorization: Bearer abc.def\nnext", "Authorization: Bearer <redacted: 7 bytes>\nnext"),
        ("token: abc", "token: <redacted: 3 bytes>"),
        ("secretName=x at 10:30, error: no such file", "secretName=x at 10:30, error: no such file"),
        ("  indented\n\n\ttext", "  indented\n\n\ttext"),
        ("secret://path is no secret", "secret://path is no secret"),
    ] {
        assert_eq!(Secrets::default().text(text), expected);
    }
}

#[test]
fn known_secrets_are_found_everywhere_also_decoded_and_line_by_line() {
    let secrets = Secrets::of(
        None,
        Some(&json!({"kind": "Secret", "data": {"p": "aHVudGVyMi1odW50ZXIy", "short": "eA=="},
        "stringData": {"key": "BEGIN KEY\nabcdefgh\nEND KEY"}})),
    );
    assert_eq!(secrets.text("it says hunter2-hunter2!"), "it says <redacted: 15 bytes>!");
    assert_eq!(secrets.text("it says aHVudGVyMi1odW50ZXIy"), "it says <redacted: 20 bytes>");
    assert_eq!(secrets.text("abcdefgh"), "<redacted: 8 bytes>");
    assert_eq!(secrets.text("x stays x"), "x stays x");
    let env =
        json!({"env": [{"name": "MODE", "value": "production"}, {"name": "API_KEY", "value": "abc-def"}]});
    let state = State { object: env, ..State::default() };
    let of_state = Secrets::of(Some(&state), None);
    assert_eq!(of_state.text("in production by abc-def"), "in production by <redacted: 7 bytes>");
    assert_eq!(text_of("no abc-def", Some(&state), None), "no <redacted: 7 bytes>");
    assert_eq!(text_of("no abc-def, token=x", None, None), "no abc-def, token=<redacted: 1 bytes>");
    let mut status = json!({"status": {"said": "<hunter2-hunter2>", "hunter2-hunter2": 1}});
    secrets.hide(&mut status);
    assert_eq!(status, json!({"status": {"said": "<<redacted: 15 bytes>>", "<redacted: 15 bytes>": 1}}));
}
