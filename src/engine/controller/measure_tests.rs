use serde_json::json;

use super::*;

fn metric(name: &str, value: &str, labels: &[(&str, &str)]) -> Metric {
    let labels = labels.iter().map(|(name, text)| ((*name).to_owned(), Expression::compile(text).unwrap()));
    Metric {
        name: name.to_owned(),
        help: format!("What {name} says"),
        value: Expression::compile(value).unwrap(),
        labels: labels.collect(),
    }
}

fn object(name: &str, version: u32, spec: &Value) -> (Arc<Value>, Key) {
    let metadata =
        json!({"namespace": "a", "name": name, "uid": name, "resourceVersion": version.to_string()});
    let object = json!({"metadata": metadata, "spec": spec});
    (Arc::new(object.clone()), Key::of(&object))
}

/// Each series as `metric{label=value} number`, and what could not be read.
fn read(
    measured: &mut Measured,
    metrics: &[Metric],
    objects: &[(Arc<Value>, Key)],
) -> (Vec<String>, Vec<String>) {
    let mut problems = Vec::new();
    let series =
        measured.renew(metrics, objects.iter().cloned(), &mut 100, &mut |metric, key, problem, is_first| {
            problems.push(format!("{} of {}: {problem}, {is_first}", metric.name, key.name));
        });
    let mut all = BTreeMap::new();
    add(&mut all, metrics, series, &mut 100);
    (lines(&all), problems)
}

fn lines(all: &BTreeMap<&str, ObjectGauge>) -> Vec<String> {
    let line = |gauge: &ObjectGauge, (labels, value): &Series| {
        let labels: Vec<String> = labels.iter().map(|(name, text)| format!("{name}={text}")).collect();
        format!("{}{{{}}} {value}", gauge.name, labels.join(","))
    };
    all.values().flat_map(|gauge| gauge.series.iter().map(move |series| line(gauge, series))).collect()
}

#[test]
fn values_are_numbers_and_what_is_not_there_has_no_series() {
    let spec = json!({
        "n": 3, "f": 0.5, "yes": true, "no": false, "at": "2024-11-23T22:00:00Z", "took": "1m30.5s", "text": "big",
        "list": [1], "empty": [], "none": null, "minus": -4,
    });
    for (value, expected) in [
        ("object.spec.n", Ok(Some(3.0))),
        ("object.spec.minus", Ok(Some(-4.0))),
        ("object.spec.f", Ok(Some(0.5))),
        ("object.spec.yes", Ok(Some(1.0))),
        ("object.spec.no", Ok(Some(0.0))),
        ("object.spec.list.exists(n, n == 1)", Ok(Some(1.0))),
        ("size(object.spec.list)", Ok(Some(1.0))),
        ("object.spec.at", Ok(Some(1_732_399_200.0))),
        ("object.spec.took", Ok(Some(90.5))),
        ("object.spec.none", Ok(None)),
        ("object.spec.absent", Ok(None)),
        ("object.spec.none.deeper", Ok(None)),
        ("object.spec.absent.deeper", Ok(None)),
        ("object.spec.empty[0]", Ok(None)),
        ("object.status.conditions.exists(c, c.type == 'Ready')", Ok(None)),
        ("object.spec.text", Err("`object.spec.text` gives no number, time or duration")),
        ("1.0 / 0.0", Err("`1.0 / 0.0` gives no number, time or duration")),
        (
            "object.spec.list",
            Err(
                "expression `object.spec.list`: the result is neither a number nor a text, but of type list; take one value of it",
            ),
        ),
        (
            "object.spec.n + object.spec.text",
            Err(
                "expression `object.spec.n + object.spec.text`: `add` cannot be applied to values of these types",
            ),
        ),
    ] {
        let (object, key) = object("x", 1, &spec);
        let base: Labels = [("name".into(), key.name)].into();
        let found = point(&metric("m", value, &[]), &object, &base);
        assert_eq!(
            found.map(|found| found.map(|(_, value)| value)),
            expected.map_err(str::to_owned),
            "{value}"
        );
    }
}

#[test]
fn labels_are_texts_that_are_cut_and_may_be_empty() {
    let long = "ü".repeat(100);
    let (object, _) = object("x", 1, &json!({"n": 1, "long": long, "text": "t"}));
    for (text, expected) in [
        ("object.spec.text", Ok("t".to_owned())),
        ("object.spec.long", Ok("ü".repeat(64))),
        ("object.spec.absent", Ok(String::new())),
        ("string(object.spec.n)", Ok("1".to_owned())),
        (
            "object.spec.n",
            Err("the label's `object.spec.n` gives no text; put `string(…)` around it".to_owned()),
        ),
    ] {
        assert_eq!(label(&Expression::compile(text).unwrap(), &object), expected, "{text}");
    }
}

#[test]
fn series_follow_their_objects() {
    let metrics = [
        metric("replicas", "object.spec.replicas", &[("team", "object.spec.team")]),
        metric("paused", "has(object.spec.paused)", &[]),
    ];
    let mut measured = Measured::default();
    let x = object("x", 1, &json!({"replicas": 1, "team": "red"}));
    let y = object("y", 1, &json!({"paused": true}));
    let (first, problems) = read(&mut measured, &metrics, &[x.clone(), y.clone()]);
    assert_eq!(
        first,
        [
            "paused{namespace=a,name=x} 0",
            "paused{namespace=a,name=y} 1",
            "replicas{namespace=a,name=x,team=red} 1"
        ]
    );
    assert_eq!(problems, [""; 0]);
    let changed = object("x", 2, &json!({"replicas": 2, "team": "blue"}));
    let (second, _) = read(&mut measured, &metrics, &[changed, y.clone()]);
    assert_eq!(second.last().unwrap(), "replicas{namespace=a,name=x,team=blue} 2");
    let (third, _) = read(&mut measured, &metrics, &[y]);
    assert_eq!(third, ["paused{namespace=a,name=y} 1"]);
    assert_eq!(measured.objects.len(), 1, "what is gone is forgotten");
    // Another object of the same name and version.
    let (object, key) = x;
    let mut other = (*object).clone();
    other["metadata"]["uid"] = "other".into();
    other["spec"]["replicas"] = 7.into();
    read(&mut measured, &metrics, &[(object, key.clone())]);
    let (fourth, _) = read(&mut measured, &metrics, &[(Arc::new(other), key)]);
    assert_eq!(fourth.last().unwrap(), "replicas{namespace=a,name=x,team=red} 7");
}

#[test]
fn an_object_is_read_once_for_each_of_its_versions_and_one_complaint_is_enough() {
    let metrics = [metric("size", "object.spec.text", &[])];
    let mut measured = Measured::default();
    let [x, y] = ["x", "y"].map(|name| object(name, 1, &json!({"text": "secret"})));
    let why = "`object.spec.text` gives no number, time or duration";
    let (_, problems) = read(&mut measured, &metrics, &[x.clone(), y.clone()]);
    assert_eq!(problems, [format!("size of x: {why}, true"), format!("size of y: {why}, false")]);
    assert_eq!(read(&mut measured, &metrics, &[x, y.clone()]), (Vec::new(), Vec::new()));
    let again = object("x", 2, &json!({"text": "other"}));
    assert_eq!(read(&mut measured, &metrics, &[again, y]).1, [format!("size of x: {why}, false")]);
}

#[test]
fn entries_share_a_metric_and_no_series_is_there_twice() {
    let metrics = [metric("size", "object.spec.n", &[])];
    let [x, y] = ["x", "y"].map(|name| object(name, 1, &json!({"n": 1})));
    let mut all = BTreeMap::new();
    let mut room = 3;
    for objects in [vec![x.clone()], vec![x, y]] {
        let series = Measured::default().renew(&metrics, objects.into_iter(), &mut 100, &mut |_, _, _, _| {});
        add(&mut all, &metrics, series, &mut room);
    }
    assert_eq!(lines(&all), ["size{namespace=a,name=x} 1", "size{namespace=a,name=y} 1"]);
    let more = (0..9).map(|n| object(&n.to_string(), 1, &json!({"n": n})));
    let series = Measured::default().renew(&metrics, more, &mut 100, &mut |_, _, _, _| {});
    add(&mut all, &metrics, series, &mut room);
    assert_eq!((lines(&all).len(), room), (3, 0), "no more than there is room for");
}

#[test]
fn what_is_too_much_to_read_at_once_is_read_the_next_time() {
    let metrics = [metric("one", "object.spec.n", &[]), metric("two", "object.spec.n", &[])];
    let objects = |version| ["x", "y", "z"].map(|name| object(name, version, &json!({"n": version})));
    let mut measured = Measured::default();
    let mut values = |version, mut budget| {
        let series =
            measured.renew(&metrics, objects(version).into_iter(), &mut budget, &mut |_, _, _, _| {});
        series.concat().into_iter().map(|(_, value)| value).collect::<Vec<f64>>()
    };
    assert_eq!(values(1, 4), [1.0, 1.0, 1.0, 1.0], "nothing of z yet");
    assert_eq!(values(1, 4), [1.0; 6]);
    assert_eq!(values(2, 3), [2.0, 1.0, 1.0, 2.0, 1.0, 1.0], "the others as they were");
    assert_eq!(values(2, 4), [2.0; 6]);
}
