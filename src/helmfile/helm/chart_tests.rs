use std::{fs, os::unix::fs::symlink};

use tempfile::TempDir;

use super::*;

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}

fn packed(files: &[(&str, &[u8])], time: u64) -> Vec<u8> {
    let mut archive =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mtime(time);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *content).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

const CHART: &[(&str, &str)] =
    &[("Chart.yaml", "name: a"), ("values.yaml", "a: b"), ("templates/a.yaml", "a: {{ .Values.a }}")];

fn digest(dir: &TempDir) -> String {
    look(dir.path(), &[], &[]).unwrap().digest
}

#[test]
fn the_digest_is_that_of_the_content() {
    let one = folder(CHART);
    let other = folder(CHART);
    let old = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
    fs::File::open(other.path().join("values.yaml")).unwrap().set_times(old).unwrap();
    assert_eq!(digest(&one), digest(&other));
    for (name, content) in [
        ("values.yaml", "a: c"),
        ("templates/a.yaml", "{{ .Values.c }}"),
        ("templates/b.yaml", "x"),
        ("files/x", ""),
        ("charts/b/Chart.yaml", "name: b"),
    ] {
        let changed = folder(&[CHART, &[(name, content)]].concat());
        assert_ne!(digest(&one), digest(&changed), "{name}");
    }
    // The same bytes under other names.
    assert_ne!(digest(&folder(&[("a", "bc"), ("d", "e")])), digest(&folder(&[("ab", "c"), ("d", "e")])));
    assert_ne!(digest(&folder(&[("a", "b")])), digest(&folder(&[("b", "a")])));
}

#[test]
fn the_digest_covers_values_in_their_order() {
    let chart = folder(CHART);
    let values = folder(&[("one", "a: 1"), ("two", "a: 2"), ("same", "a: 1")]);
    let path = |name: &str| values.path().join(name);
    let digest = |files: &[&str], flags: &[&str]| {
        let files: Vec<_> = files.iter().map(|name| path(name)).collect();
        let flags: Vec<_> = flags.iter().map(|&flag| flag.to_owned()).collect();
        look(chart.path(), &files, &flags).unwrap().digest
    };
    assert_eq!(digest(&["one", "two"], &[]), digest(&["same", "two"], &[]));
    assert_ne!(digest(&["one", "two"], &[]), digest(&["two", "one"], &[]));
    assert_ne!(digest(&["one"], &[]), digest(&["one", "one"], &[]));
    assert_ne!(digest(&["one"], &[]), digest(&[], &["a: 1"]));
    assert_ne!(digest(&[], &["a=1"]), digest(&[], &["a=2"]));
    let like_values = folder(&[CHART, &[("values file 1", "a: 1")]].concat());
    assert_ne!(look(like_values.path(), &[], &[]).unwrap().digest, digest(&["one"], &[]));
}

#[test]
fn archives_are_looked_into() {
    let files: &[(&str, &[u8])] = &[("a/Chart.yaml", b"name: a"), ("a/templates/a.yaml", b"{{ now }}")];
    let dir = folder(&[]);
    let archive = dir.path().join("a.tgz");
    let look_at = |bytes: &[u8]| {
        fs::write(&archive, bytes).unwrap();
        look(&archive, &[], &[])
    };
    let old = look_at(&packed(files, 0)).unwrap();
    assert_eq!(old.pure, Err("`now` in a/templates/a.yaml".to_owned()));
    assert_eq!(look_at(&packed(files, 1_700_000_000)).unwrap(), old);
    assert_ne!(look_at(&packed(files.split_at(1).0, 0)).unwrap().digest, old.digest);
    // A chart in a packed chart.
    let inner = packed(files, 0);
    let outer = packed(&[("b/Chart.yaml", b"name: b"), ("b/charts/a.tgz", &inner)], 0);
    let pure = look_at(&outer).unwrap().pure;
    assert_eq!(pure, Err("`now` in b/charts/a.tgz/a/templates/a.yaml".to_owned()));
    for broken in [&inner[..inner.len() / 2], b"name: a", b"\x1f\x8b\x08", b""] {
        assert_eq!(look_at(broken), None);
    }
    // A packed chart in a folder.
    let chart = folder(CHART);
    fs::create_dir(chart.path().join("charts")).unwrap();
    fs::write(chart.path().join("charts/a.tgz"), &inner).unwrap();
    assert!(look(chart.path(), &[], &[]).unwrap().pure.is_err());
}

#[test]
fn archives_do_not_fill_the_memory() {
    let dir = folder(&[]);
    let archive = dir.path().join("a.tgz");
    let zeros = vec![0; 33 << 20];
    fs::write(&archive, packed(&[("a/x", &zeros)], 0)).unwrap();
    assert!(fs::metadata(&archive).unwrap().len() < 1 << 20);
    assert_eq!(look(&archive, &[], &[]), None);
    let mut nested = packed(&[("a/Chart.yaml", b"name: a")], 0);
    for _ in 0..6 {
        nested = packed(&[("a/charts/a.tgz", &nested)], 0);
    }
    fs::write(&archive, nested).unwrap();
    assert_eq!(look(&archive, &[], &[]), None);
}

#[test]
fn texts_from_everywhere_decide() {
    let with = |files: &[(&str, &str)]| folder(&[CHART, files].concat());
    let values = folder(&[("v.yaml", "a: '{{ uuidv4 }}'"), ("plain.yaml", "a: b")]);
    let path = |name: &str| vec![values.path().join(name)];
    let plain = with(&[]);
    let runs = with(&[("templates/b.yaml", "{{ tpl .Values.a . }}")]);
    let look = |dir: &TempDir, values: &[PathBuf], flag: &str| {
        look(dir.path(), values, &[flag.to_owned()]).unwrap().pure
    };
    assert_eq!(look(&plain, &path("v.yaml"), "a={{ now }}"), Ok(()));
    assert_eq!(look(&runs, &path("plain.yaml"), "a=b"), Ok(()));
    assert_eq!(look(&runs, &path("v.yaml"), "a=b"), Err("`uuidv4` in values file 1".to_owned()));
    assert_eq!(look(&runs, &path("plain.yaml"), "a={{ now }}"), Err("`now` in flag 1".to_owned()));
    let subchart = with(&[("charts/b/templates/NOTES.txt", "{{ randAlpha 3 }}")]);
    assert_eq!(look(&subchart, &[], ""), Err("`randAlpha` in charts/b/templates/NOTES.txt".to_owned()));
    let reads = with(&[("templates/b.yaml", "{{ tpl (.Files.Get \"f\") . }}"), ("f", "{{ now }}")]);
    assert_eq!(look(&reads, &[], ""), Err("`now` in f".to_owned()));
    let binary = with(&[("templates/b.yaml", "{{ tpl (.Files.Get \"f\") . }}"), ("f", "\0{{ now }}")]);
    assert_eq!(look(&binary, &[], ""), Ok(()));
}

#[test]
fn says_what_is_asked_of_the_cluster() {
    let chart = folder(&[("templates/a.yaml", "{{ .Capabilities.APIVersions.Has \"policy/v1beta1\" }}")]);
    let traits = look(chart.path(), &[], &["a=lookup".to_owned()]).unwrap().traits;
    assert!(traits.api_versions && traits.lookup);
    assert!(traits.named.contains("policy/v1beta1"));
}

#[test]
fn links_are_followed_to_an_end() {
    let shared = folder(&[("x.yaml", "{{ now }}")]);
    let chart = folder(CHART);
    symlink(shared.path(), chart.path().join("templates/shared")).unwrap();
    assert_eq!(
        look(chart.path(), &[], &[]).unwrap().pure,
        Err("`now` in templates/shared/x.yaml".to_owned())
    );
    symlink(chart.path(), chart.path().join("again")).unwrap();
    assert_eq!(look(chart.path(), &[], &[]), None);
    // Doubles at each step, without any file.
    let doubling = folder(&[]);
    for n in 0..20 {
        let step = doubling.path().join(n.to_string());
        fs::create_dir(&step).unwrap();
        for name in ["a", "b"] {
            symlink(format!("../{}", n + 1), step.join(name)).unwrap();
        }
    }
    fs::create_dir(doubling.path().join("20")).unwrap();
    assert_eq!(look(doubling.path(), &[], &[]), None);
}

#[test]
fn what_is_not_there_is_not_looked_at() {
    let chart = folder(CHART);
    assert_eq!(look(Path::new("repo/chart"), &[], &[]), None);
    assert_eq!(look(chart.path(), &[chart.path().join("none.yaml")], &[]), None);
    assert_eq!(look(chart.path(), &[chart.path().to_owned()], &[]), None);
    symlink("nowhere", chart.path().join("broken")).unwrap();
    assert_eq!(look(chart.path(), &[], &[]), None);
    let with_pipe = folder(CHART);
    rustix::fs::mkfifoat(rustix::fs::CWD, with_pipe.path().join("pipe"), rustix::fs::Mode::RWXU).unwrap();
    assert_eq!(look(with_pipe.path(), &[], &[]), None);
}

#[test]
fn knows_dependencies() {
    let of = |files: &[(&str, &str)]| dependencies(folder(files).path());
    let some = "dependencies:\n- name: b\n";
    assert_eq!(of(&[("Chart.yaml", "name: a")]), Some(false));
    assert_eq!(of(&[("Chart.yaml", "name: a\ndependencies: []")]), Some(false));
    assert_eq!(of(&[("Chart.yaml", "name: a\ndependencies:")]), Some(false));
    assert_eq!(of(&[("Chart.yaml", some)]), Some(true));
    assert_eq!(of(&[("Chart.yaml", "name: a"), ("requirements.yaml", some)]), Some(true));
    assert_eq!(of(&[("Chart.yaml", "name: a"), ("requirements.yaml", "dependencies: []")]), Some(false));
    assert_eq!(of(&[("Chart.yaml", "name: a"), ("requirements.yaml", "{")]), None);
    assert_eq!(of(&[("Chart.yaml", "a: [")]), None);
    assert_eq!(of(&[("values.yaml", "")]), None);
    assert_eq!(dependencies(Path::new("repo/chart")), None);
}
