use super::*;

fn found_at(path: &str, text: &str) -> Vec<String> {
    let known_env = BTreeSet::new();
    let paths = ["charts", "charts/app", "deploy/local/app"].map(str::to_owned).into();
    let file = File { path, text, known_env: &known_env };
    let around = Around { helmfile: "deploy/helmfile.yaml", paths: &paths };
    let mut found = Vec::new();
    match read(text, path.ends_with("gotmpl")) {
        Some(values) => documents(file, around, &values, &mut found),
        None => lines(file, around, &mut found),
    }
    found.iter().map(ToString::to_string).collect()
}

fn found(text: &str) -> Option<String> {
    found_at("deploy/helmfile.yaml", text).into_iter().next()
}

fn version(chart: &str) -> String {
    format!("chart `{chart}` without an exact version in deploy/helmfile.yaml")
}

fn without_line(said: Option<String>) -> Option<String> {
    said.map(|said| said.rsplit_once(" line ").map_or(said.clone(), |(said, _)| said.to_owned()))
}

#[test]
fn releases_have_charts_of_the_source_or_exact_versions() {
    let fixed = [
        "{name: a, chart: ./charts/app}",
        "{name: a, chart: ../charts/app}",
        "{name: a, chart: local/app}",
        "{name: a, chart: ../charts/app, version: '*'}",
        "{name: a, chart: manifests}",
        "{name: a, chart: repo/app, version: 1.2.3}",
        "{name: a, chart: 'oci://h/app', version: v1.2.3-rc.1}",
        "{name: a, chart: 'oci://h/app:1.2.3'}",
        "{name: a, chart: './charts/{{ .Release.Name }}'}",
        "{name: a, chart: 'repo/{{ .Release.Name }}', version: 1.2.3}",
        "{name: a, inherit: [{template: t}]}",
        "{name: a, values: [{chart: repo/app, hooks: [a], version: '*', bases: ['https://h/x']}]}",
        "{name: a, chart: ./a, hooks: []}",
        "{name: a, chart: ./a, values: [a.yaml, '{{ .Environment.Name }}.yaml', ../b.yaml, {url: 'https://h/x'}]}",
        "{name: a, chart: ./a, set: [{name: x, value: 'https://h'}], jsonPatches: [p.yaml]}",
    ];
    for release in fixed {
        assert_eq!(found(&format!("releases: [{release}]")), None, "{release}");
    }
    for (release, chart) in [
        ("{name: a, chart: repo/app}", "repo/app"),
        ("{name: a, chart: repo/app, version: ''}", "repo/app"),
        ("{name: a, chart: repo/app, version: 1.2}", "repo/app"),
        ("{name: a, chart: repo/app, version: ^1.2.3}", "repo/app"),
        ("{name: a, chart: 'repo/app', version: '{{ .Values.v }}'}", "repo/app"),
        ("{name: a, chart: 'oci://h/app:latest'}", "oci://h/app:latest"),
        ("{name: a, chart: 'oci://h/app'}", "oci://h/app"),
        ("{name: a, chart: '{{ .Values.chart }}', version: 1.2.3}", "{{ .Values.chart }}"),
        ("{name: a, chart: ./a, dependencies: [{chart: repo/sub, version: '>1'}]}", "repo/sub"),
        ("{name: a, inherit: [{template: t}], version: '>1'}", "a"),
    ] {
        assert_eq!(without_line(found(&format!("releases: [{release}]"))), Some(version(chart)), "{release}");
    }
    let merged = |version: &str| {
        format!(
            "templates:\n  t: &t\n    chart: repo/app\n    version: {version}\nreleases:\n- name: a\n  <<: *t\n"
        )
    };
    assert_eq!(found(&merged("1.2.3")), None);
    assert_eq!(without_line(found(&merged("1.x"))), Some(version("repo/app")));
    let line = found("releases:\n# repo/app\n- name: a\n  chart: repo/app\n").unwrap();
    assert!(line.ends_with("line 4"), "{line}");
}

#[test]
fn files_are_in_the_source_and_charts_there_or_pinned() {
    let commit = "0123456789abcdef0123456789abcdef01234567";
    for (text, expected) in [
        ("bases: [a.yaml, ../b.yaml]", None),
        ("helmfiles: [a.yaml, {path: ../b.yaml}, {path: 'a/*.yaml'}]", None),
        ("environments: {default: {values: [a.yaml, {x: 'https://h/a'}], secrets: [s.yaml]}}", None),
        ("repositories: [{name: a, url: 'https://h'}]", None),
        (&*format!("releases: [{{name: a, chart: 'git::https://h/r.git@a?ref={commit}'}}]"), None),
        (
            "releases: [{name: a, chart: 'git::https://h/{{ .Values.r }}@a?ref=0123456789abcdef0123456789abcdef01234567'}]",
            Some("`git::https://h/{{ .Values.r }}@a?ref=0123456789abcdef0123456789abcdef01234567`"),
        ),
        ("bases: ['https://h/a.yaml']", Some("`https://h/a.yaml`")),
        ("bases: [../../a.yaml]", Some("`../../a.yaml`, which is not in the source,")),
        (
            "helmfiles: ['git::https://h/r.git@a.yaml?ref=main']",
            Some("`git::https://h/r.git@a.yaml?ref=main`"),
        ),
        ("helmfiles: [{path: 'git::https://h/r.git@a.yaml'}]", Some("`git::https://h/r.git@a.yaml`")),
        ("environments: {default: {values: ['s3://b/a.yaml']}}", Some("`s3://b/a.yaml`")),
        ("releases: [{name: a, chart: ./a, values: ['https://h/v.yaml']}]", Some("`https://h/v.yaml`")),
        (
            "releases: [{name: a, chart: ./a, secrets: [/etc/s.yaml]}]",
            Some("`/etc/s.yaml`, which is not in the source,"),
        ),
        ("releases: [{name: a, chart: /charts/a}]", Some("`/charts/a`, which is not in the source,")),
        (
            "releases: [{name: a, chart: 'git::https://h/r.git@a?ref=v1', version: 1.2.3}]",
            Some("`git::https://h/r.git@a?ref=v1`"),
        ),
        (
            "releases: [{name: a, chart: ./a, set: [{name: x, file: /x}]}]",
            Some("`/x`, which is not in the source,"),
        ),
        ("releases: [{name: a, chart: ./a, hooks: [{events: [presync]}]}]", Some("hooks")),
        ("hooks: [{command: x}]\nreleases: []", Some("hooks")),
        ("helmDefaults: {postRenderer: x}", Some("`postRenderer`")),
        ("helmDefaults: {wait: true, postRenderer: ''}", None),
        ("helmBinary: helm", None),
        ("kustomizeBinary: ./k", Some("`kustomizeBinary`")),
        ("releases: [{name: a, chart: ./a, transformers: [t.yaml]}]", Some("`transformers`")),
    ] {
        let expected = expected.map(|what| format!("{what} in deploy/helmfile.yaml"));
        assert_eq!(without_line(found(text)), expected, "{text}");
    }
    // Always the same, and nobody has seen whether it takes something from elsewhere.
    let pinned = format!("git::https://h/r.git@a.yaml?ref={commit}");
    for text in [
        "bases: ['PINNED']",
        "helmfiles: ['PINNED']",
        "helmfiles: [{path: 'PINNED'}]",
        "environments: {default: {values: ['PINNED']}}",
        "releases: [{name: a, chart: ./a, values: ['PINNED']}]",
        "releases: [{name: a, chart: ./a, set: [{name: x, file: 'PINNED'}]}]",
    ] {
        let said = without_line(found(&text.replace("PINNED", &pinned)));
        assert_eq!(said, Some(format!("`{pinned}` in deploy/helmfile.yaml")), "{text}");
    }
}

#[test]
fn other_files_are_no_helmfiles() {
    for text in [
        "chart: repo/app\nhooks: [a]\npostRenderer: x\nvalues: ['https://h/x']",
        "hooks: {pre: true}",
        "- a\n- b",
    ] {
        assert!(found_at("deploy/values.yaml", text).is_empty(), "{text}");
    }
    // But these may be parts of one.
    assert_eq!(found_at("deploy/part.yaml", "- name: a\n  chart: repo/app\n").len(), 1);
    assert_eq!(found_at("deploy/part.yaml", "hooks: [{events: [presync]}]").len(), 1);
    assert_eq!(found_at("deploy/part.yaml", "bases: ['https://h/x']").len(), 1);
}

#[test]
fn templates_are_read_with_their_actions_masked() {
    let found = |text| found_at("deploy/helmfile.yaml.gotmpl", text);
    let fixed = "
{{ $env := .Environment.Name }}
{{- if eq $env \"x\" }}
bases:
- base.yaml
{{- end }}
releases:
{{ range $name, $app := .Values.apps }}
- name: {{ $name }}
  namespace: \"{{ $app.namespace }}\"
  chart: ../charts/{{ $app.chart }}
  values:
  - {{ toYaml $app.values | nindent 4 }}
  - values/{{ $name }}.yaml
  - {{ .Environment.Name }}.yaml
  {{ $name }}: {{ $app | quote }}
{{ end }}
- name: b
  chart: repo/app
  version: 1.2.3 # {{ now }}
";
    assert!(read(fixed, true).is_some());
    assert!(found(fixed).is_empty());
    let floating = fixed.replace("1.2.3", "{{ .Values.version }}");
    assert_eq!(
        found(&floating),
        ["chart `repo/app` without an exact version in deploy/helmfile.yaml.gotmpl line 19"]
    );
    let unknown = fixed.replace("repo/app", "{{ .Values.repo }}/app").replace("1.2.3", "1.x");
    assert_eq!(
        found(&unknown),
        ["chart `{{…}}/app` without an exact version in deploy/helmfile.yaml.gotmpl line 19"]
    );
}

#[test]
fn what_is_no_yaml_is_read_line_by_line() {
    let text = |version: &str| {
        format!(
            "releases:\n- name: a\n{{{{ if .x }}}}\n  {version}\n{{{{ else }}}}\n  {version}\n{{{{ end }}}}\n"
        )
    };
    let found = |line: &str| found_at("deploy/helmfile.yaml.gotmpl", &text(line)).into_iter().next();
    assert_eq!(read(&text("chart: ./a"), true), None);
    for (line, expected) in [
        ("chart: ./a", None),
        ("# chart: repo/a", None),
        ("namespace: b", None),
        ("chart: repo/a", Some("chart `repo/a` without an exact version in")),
        ("hooks:", Some("hooks in")),
        ("postRenderer: x", Some("`postRenderer` in")),
        ("values: x\n  - https://h/a", Some("`https://h/a` in")),
        ("values: x\n  - '../../a'", Some("`../../a`, which is not in the source, in")),
        ("path: git::https://h/r@a", Some("`git::https://h/r@a` in")),
    ] {
        let said = found(line);
        assert!(
            said.as_deref().is_some() == expected.is_some()
                && said.unwrap_or_default().starts_with(expected.unwrap_or_default()),
            "{line}"
        );
    }
}
