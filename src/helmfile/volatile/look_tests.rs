use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

fn source(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}

fn said_of(dir: &TempDir, helmfile: &str) -> Vec<String> {
    let known_env = BTreeSet::from(["OURS".to_owned()]);
    look(dir.path(), Path::new(helmfile), &known_env).iter().map(ToString::to_string).collect()
}

/// A source as most are: nothing in it can change by itself.
const PLAIN: &[(&str, &str)] = &[
    (
        "deploy/helmfile.yaml.gotmpl",
        "bases:\n- ../base.yaml\n---\nrepositories:\n- name: repo\n  url: https://charts.example\nreleases:\n\
         {{ range .Values.apps }}\n- name: {{ .name }}\n  chart: ../charts/app\n  values:\n  - values/{{ .name }}.yaml\n  \
         - values/common.yaml.gotmpl\n{{ end }}\n- name: pinned\n  chart: repo/pinned\n  version: 1.2.3\n",
    ),
    (
        "base.yaml",
        "environments:\n  default:\n    values:\n    - env/default.yaml\nhelmDefaults:\n  wait: true\n",
    ),
    ("env/default.yaml", "# from ref+vault://x once\napps: [{name: a}] # {{ now }}\n"),
    (
        "deploy/values/common.yaml.gotmpl",
        "image: {{ .Values.image | default \"x\" }}\nregion: {{ requiredEnv \"OURS\" }}\n\
         {{- if eq .Environment.Name \"prod\" }}\nfile: {{ readFile \"values/a.txt\" | quote }}\n{{- end }}\n",
    ),
    ("deploy/values/a.yaml", "url: https://example/x\nrule: '{{ $labels.job }} {{instance}} {{ env }}'\n"),
    ("deploy/values/a.txt", "no template"),
    ("charts/app/Chart.yaml", "name: app\nversion: 0.1.0\n"),
    ("charts/app/values.yaml", "a: b\n"),
    (
        "charts/app/templates/app.yaml",
        "{{- if .Values.a }}\nkind: ConfigMap\nmetadata:\n  name: {{ include \"app.name\" . }}\n{{- end }}\n{{/* lookup */}}",
    ),
    ("charts/app/templates/_helpers.tpl", "{{ define \"app.name\" }}{{ .Release.Name | trunc 63 }}{{ end }}"),
    ("README.md", "Uses `{{ exec \"x\" (list) }}` and ref+vault://secret/x"),
    (".github/workflows/ci.yaml", "run: ${{ env.NAME }} {{ exec \"a\" }}"),
    ("src/main.go", "t := `{{ now }}`; a := \"ref+vault://x\""),
    ("Makefile", "a:\n\techo {{ now }}"),
];

#[test]
fn a_plain_source_is_fixed() {
    assert_eq!(said_of(&source(PLAIN), "deploy/helmfile.yaml.gotmpl"), Vec::<String>::new());
    assert_eq!(said_of(&source(PLAIN), "./deploy/"), Vec::<String>::new());
    assert_eq!(said_of(&source(&[("helmfile.yaml", "releases: []")]), "helmfile.yaml"), Vec::<String>::new());
}

#[test]
fn what_can_change_by_itself_is_found_wherever_it_is() {
    for (path, content, expected) in [
        (
            "deploy/values/a.yaml",
            "a: 1\nb: ref+vault://x#/y\n",
            "values from `ref+vault` in deploy/values/a.yaml line 2",
        ),
        ("deploy/values/a.yaml", "a: \"{{ exec \\\"x\\\" }}\"", "`exec` in deploy/values/a.yaml line 1"),
        ("deploy/values/a.txt", "{{ now }}", "`now` in deploy/values/a.txt line 1"),
        (
            "any/values.gotmpl",
            "\n{{ env \"HOME\" }}",
            "the environment variable `HOME` in any/values.gotmpl line 2",
        ),
        ("any/_helpers.tpl", "{{ unheardOf }}", "`unheardOf` in any/_helpers.tpl line 1"),
        ("any/values.json", "{\"a\": \"ref+sops://x\"}", "values from `ref+sops` in any/values.json line 1"),
        ("any/broken.yaml", "a: [\nb: ref+sops://x", "values from `ref+sops` in any/broken.yaml line 2"),
        (
            "sub/helmfile.yaml",
            "releases: [{name: a, chart: repo/a}]",
            "chart `repo/a` without an exact version in sub/helmfile.yaml line 1",
        ),
        (
            "charts/app/templates/b.yaml",
            "{{ lookup \"v1\" \"Secret\" \"a\" \"b\" }}",
            "`lookup` in templates/b.yaml of chart `charts/app`",
        ),
        (
            "charts/app/charts/b/templates/b.yaml",
            "{{ randAlphaNum 5 }}",
            "`randAlphaNum` in charts/b/templates/b.yaml of chart `charts/app`",
        ),
        (
            "charts/app/Chart.yaml",
            "name: app\ndependencies:\n- name: b\n  version: ^1\n  repository: https://h\n",
            "chart `b` without an exact version in charts/app/Chart.yaml line 3",
        ),
        (
            "k/kustomization.yaml",
            "resources: ['https://h/r']",
            "`https://h/r` in k/kustomization.yaml line 1",
        ),
    ] {
        let files: Vec<_> =
            PLAIN.iter().copied().filter(|(name, _)| *name != path).chain([(path, content)]).collect();
        assert_eq!(said_of(&source(&files), "deploy/helmfile.yaml.gotmpl"), [expected], "{path}");
    }
}

#[test]
fn a_file_matters_once_it_is_named() {
    let script = ("tools/settings.txt", "{{ now }}");
    assert!(said_of(&source(&[PLAIN, &[script]].concat()), "deploy/helmfile.yaml.gotmpl").is_empty());
    let named = ("deploy/values/b.yaml.gotmpl", "{{ tpl (readFile \"tools/settings.txt\") . }}");
    let said = said_of(&source(&[PLAIN, &[script, named]].concat()), "deploy/helmfile.yaml.gotmpl");
    assert_eq!(said, ["`now` in tools/settings.txt line 1"]);
}

#[test]
fn a_file_matters_that_a_template_may_name() {
    let secret = ("deploy/regions/eu", "password: ref+vault://a\n");
    let helmfile = |name: &str| format!("releases:\n- name: a\n  chart: ../charts/app\n  values: [{name}]\n");
    let said = |name: &str| {
        said_of(
            &source(&[("deploy/helmfile.yaml.gotmpl", &helmfile(name)), secret]),
            "deploy/helmfile.yaml.gotmpl",
        )
    };
    assert!(said("regions/us").is_empty());
    assert_eq!(
        said("'regions/{{ .Values.region }}'"),
        ["values from `ref+vault` in deploy/regions/eu line 1"]
    );
}

#[test]
fn packed_charts_are_looked_into() {
    let dir = source(PLAIN);
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(gzip);
    for (name, content) in [("b/Chart.yaml", "name: b"), ("b/templates/a.yaml", "{{ uuidv4 }}")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    let bytes = archive.into_inner().unwrap().finish().unwrap();
    fs::write(dir.path().join("b.tgz"), &bytes).unwrap();
    let said = said_of(&dir, "deploy/helmfile.yaml.gotmpl");
    assert_eq!(said, ["`uuidv4` in templates/a.yaml of chart `b.tgz/b`"]);
    fs::write(dir.path().join("b.tgz"), &bytes[..20]).unwrap();
    assert_eq!(said_of(&dir, "deploy/helmfile.yaml.gotmpl"), ["b.tgz, which can't be looked at"]);
}

#[test]
fn links_may_stay_inside() {
    let dir = source(PLAIN);
    let outside = source(&[("x.yaml", "a: b")]);
    symlink("../../env/default.yaml", dir.path().join("deploy/values/linked.yaml")).unwrap();
    assert!(said_of(&dir, "deploy/helmfile.yaml.gotmpl").is_empty());
    symlink(outside.path().join("x.yaml"), dir.path().join("x.yaml")).unwrap();
    symlink("nowhere", dir.path().join("y.yaml")).unwrap();
    let said = said_of(&dir, "deploy/helmfile.yaml.gotmpl");
    assert_eq!(
        said,
        ["`x.yaml`, a link that leads out of the source", "`y.yaml`, a link that leads out of the source"]
    );
    let looping = source(&[("helmfile.yaml", "releases: []")]);
    symlink(".", looping.path().join("again")).unwrap();
    assert_eq!(said_of(&looping, "helmfile.yaml").len(), 1);
}

#[test]
fn too_much_is_not_looked_at() {
    let dir = source(&[("helmfile.yaml", "releases: []")]);
    // Sparse, and without a zero in its first part.
    let big = dir.path().join("big.yaml");
    fs::write(&big, "#".repeat(1 << 14)).unwrap();
    fs::File::options().write(true).open(&big).unwrap().set_len(65 << 20).unwrap();
    assert_eq!(said_of(&dir, "helmfile.yaml"), ["more files than are looked at"]);
    // What is no text does not count.
    fs::write(&big, "\0").unwrap();
    fs::File::options().write(true).open(&big).unwrap().set_len(65 << 20).unwrap();
    assert!(said_of(&dir, "helmfile.yaml").is_empty());
}

#[test]
fn what_is_not_there_is_not_fixed() {
    let dir = source(&[]);
    assert_eq!(said_of(&dir, "helmfile.yaml"), Vec::<String>::new());
    assert!(!look(&dir.path().join("none"), Path::new("helmfile.yaml"), &BTreeSet::new()).is_empty());
    let pipe = source(&[("helmfile.yaml", "releases: []")]);
    rustix::fs::mkfifoat(rustix::fs::CWD, pipe.path().join("pipe"), rustix::fs::Mode::RWXU).unwrap();
    assert_eq!(said_of(&pipe, "helmfile.yaml"), ["pipe, which can't be looked at"]);
    let broken = source(&[("helmfile.yaml", "releases: [")]);
    assert_eq!(said_of(&broken, "helmfile.yaml"), ["helmfile.yaml, which can't be looked at"]);
}
