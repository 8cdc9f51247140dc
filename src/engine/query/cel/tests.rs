use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::contract::{Trigger, TriggerType};

fn object() -> Value {
    json!({
        "metadata": {"name": "web", "generation": 2, "labels": {"example.com/team": "a"}},
        "spec": {
            "replicas": 3,
            "ratio": 0.5,
            "big": u64::MAX,
            "paused": false,
            "none": null,
            "containers": [
                {"name": "app", "image": "app:1", "ports": [{"port": 80}, {"port": 443}]},
                {"name": "side", "image": "side:2"},
            ],
        },
    })
}

fn old() -> Value {
    let mut old = object();
    old["spec"]["replicas"] = json!(2);
    old["metadata"]["generation"] = json!(1);
    old
}

fn ask(condition: &str) -> Result<bool, String> {
    let trigger = Trigger {
        kind_of: TriggerType::DependentChanged,
        kind: Some("Pod".to_owned()),
        namespace: None,
        name: Some("p".to_owned()),
    };
    let facts = Facts { object: &object(), old: Some(&old()), trigger: Some(&trigger) };
    let condition = Condition::compile(condition).map_err(|error| error.to_string())?;
    condition.holds(&facts).map_err(|error| error.to_string())
}

#[test]
fn conditions_hold_or_do_not() {
    for (condition, expected) in [
        ("true", true),
        ("object.spec.replicas == 3", true),
        ("object.spec.replicas > oldObject.spec.replicas", true),
        ("object.spec == oldObject.spec", false),
        ("object.spec.containers == oldObject.spec.containers", true),
        ("object == oldObject || object.metadata.generation != oldObject.metadata.generation", true),
        ("object.metadata == {'name': 'web', 'generation': 2, 'labels': {'example.com/team': 'a'}}", true),
        ("has(object.spec.absent)", false),
        ("has(object.spec.replicas) && object.spec.replicas == 3", true),
        ("has(object.spec.containers)", true),
        // What was used whole stays whole.
        ("size(object.spec.containers) == 2 && has(object.spec.containers)", true),
        ("!has(object.absent) || object.absent.x == 1", true),
        ("has(object.spec.absent) && object.spec.absent.x", false),
        ("object.spec.none == null", true),
        ("object.spec.ratio < 0.6 && object.spec.ratio < 1", true),
        ("object.spec.big == 18446744073709551615u", true),
        ("object.metadata.labels['example.com/team'] == 'a'", true),
        ("'example.com/team' in object.metadata.labels", true),
        ("object.spec.containers.size() == 2 && size(object.spec.containers[0].ports) == 2", true),
        ("object.spec.containers.all(c, c.image.matches('^[a-z]+:[0-9]$'))", true),
        ("object.spec.containers.exists(c, has(c.ports) && c.ports.exists(p, p.port == 443))", true),
        ("object.spec.containers.map(c, c.name) == ['app', 'side']", true),
        // A variable of a loop hides ours.
        ("[{'spec': 1}].all(object, object.spec == 1) && object.spec.replicas == 3", true),
        ("object.?spec.?absent.orValue(7) == 7", true),
        ("optional.of(object.spec.replicas).hasValue()", true),
        ("type(object.spec.replicas) == int && type(object) == map", true),
        ("object.metadata.name.upperAscii().startsWith('WE')", true),
        ("trigger.type == 'DependentChanged' && trigger.kind in ['Pod'] && trigger.namespace == null", true),
        ("trigger.type == 'Schedule'", false),
    ] {
        assert_eq!(ask(condition), Ok(expected), "{condition}");
    }
}

#[test]
fn what_there_is_not_is_null() {
    let facts = Facts { object: &object(), old: None, trigger: None };
    for condition in [
        "oldObject == null && trigger == null",
        "oldObject == null || object.spec != oldObject.spec",
        "trigger == null || trigger.type == 'Created'",
    ] {
        assert_eq!(Condition::compile(condition).unwrap().holds(&facts), Ok(true), "{condition}");
    }
    let error = Condition::compile("object.spec != oldObject.spec").unwrap().holds(&facts).unwrap_err();
    assert_eq!(
        error.to_string(),
        "condition `object.spec != oldObject.spec`: it asks for a field of null; ask `oldObject != null` first, or `has(object.spec.x)`"
    );
}

#[test]
fn errors_are_one_line_that_says_what_to_do() {
    for (condition, expected) in [
        ("object.spec ==", "line 1, column 15: mismatched input the end"),
        ("object.spec &&\n == ]", "line 2, column 2: mismatched input '=='"),
        ("", "line 1, column 1: mismatched input the end"),
        ("(object", "line 1, column 8: missing ')' at the end"),
        ("objekt.spec == 1", "there is no variable `objekt`; did you mean `object`?"),
        ("old.spec == 1", "there is no variable `old`; did you mean `oldObject`?"),
        ("self.spec == 1", "there is no variable `self`; there are `object`, `oldObject` and `trigger`"),
        ("[1].all(x, y == x)", "there is no variable `y`; there are `object`, `oldObject` and `trigger`"),
        ("nosuch(object)", "there is no function `nosuch`"),
        ("object.spec.nosuch()", "there is no function `nosuch`"),
        (
            "sets.contains([1], [1])",
            "there is no variable `sets`; there are `object`, `oldObject` and `trigger`",
        ),
        ("object.metadata.name.matches('(')", "`(` is no regular expression"),
        ("object.spec.replica == 3", "there is no `replica`; ask `has(object.spec.replica)` first"),
        ("object.absent.x == 3", "there is no `absent`; ask `has(object.absent)` first"),
        ("object.metadata.labels['x'] == 'y'", "there is no `such key`; ask `has(object.spec.x)` first"),
        ("object.spec.containers.all(c, c.ports != [])", "there is no `ports`; ask `has(c.ports)` first"),
        (
            "object.spec.replicas",
            "the result is neither true nor false, but of type int; compare it with something",
        ),
        ("object.spec", "the result is neither true nor false, but of type map; compare it with something"),
        ("object.metadata.name > 1", "`>` cannot be applied to string and int"),
        ("object.metadata.name.x == 1", "`.` cannot be applied to string and string"),
        ("object.spec.containers[7] == 1", "a list is shorter than the index; ask its `size()` first"),
        ("int(object.metadata.name) == 1", "`int` cannot do anything with what it was given"),
        ("object.metadata.name + 1 == 'x'", "`add` cannot be applied to values of these types"),
        ("object.spec.replicas / 0 == 1", "it divides by zero"),
    ] {
        let shown = condition.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(ask(condition), Err(format!("condition `{shown}`: {expected}")));
    }
    let error = ask(&"1+".repeat(2000)).unwrap_err();
    assert!(error.ends_with("…`: it is longer than 2048 bytes") && error.len() < 200, "{error}");
}

#[test]
fn no_value_of_the_object_is_in_an_error() {
    let object = json!({"data": {"password": "hunter2", "list": ["hunter2"]}, "n": 1});
    let facts = Facts { object: &object, old: None, trigger: None };
    for condition in [
        "object.data.password",
        "object.data.password > 1",
        "object.data.password + 1 == ''",
        "object.data.password - 1 == ''",
        "object.data + object.data == 1",
        "object[object.data.password] == 1",
        "object.data.list[object.data.password] == 1",
        "object.n in object.data.password",
        "object.data in object.data",
        "int(object.data.password) == 1",
        "{object.data: 1} == {}",
        "{object.data.password: 1, object.data.password: 2} == {}",
        "object.data.password.matches('(' + object.data.password)",
        "object.data.password.substring(100) == ''",
        "object.data.password.charAt(100) == ''",
        "object.data.password.x == 1",
        "object.data.password.all(x, true)",
        "object.data.password ? true : false",
        "!object.data.password",
        "-object.data.password == 1",
        "object.data.password && true",
        "'%d'.format([object.data.password]) == ''",
        "object.data.list.join(object.n) == ''",
        "duration(object.data.password) == 1",
    ] {
        let error = match Condition::compile(condition).map(|condition| condition.holds(&facts)) {
            Ok(Ok(_)) => panic!("`{condition}` must be an error"),
            Ok(Err(error)) | Err(error) => error,
        };
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
}

/// What is accepted is answered on three quarters of the stack that a watch has; what is not is refused, and neither ends the process.
#[test]
fn the_deepest_conditions_fit_the_stack() {
    for (begin, middle, end, deepest) in [
        ("", "1+", "1 != 0", 30),
        ("", "!!", "true", 500),
        ("(", "", "true)", 95),
        ("[", "", "1] != []", 30),
        ("{1:", "", "1} != {}", 30),
        ("type(", "", "1) != int", 30),
        ("", "true&&", "true", 300),
        ("", "true==", "true", 31),
        ("", "false?true:", "true", 31),
        ("", "[[1]][0]==[1]||", "true", 100),
    ] {
        let nested = |count| {
            let open = end.find([')', ']', '}']).filter(|_| middle.is_empty());
            let (inner, close) = open.map_or((end, ""), |at| end.split_at(at));
            let (close, rest) = if close.is_empty() { ("", "") } else { close.split_at(1) };
            format!("{}{}{inner}{}{rest}", begin.repeat(count), middle.repeat(count), close.repeat(count))
        };
        let text = nested(deepest);
        let small = std::thread::Builder::new().stack_size(3 << 19);
        let answer = small.spawn(move || (ask(&text), text)).unwrap().join().unwrap();
        assert_eq!(answer.0, Ok(true), "{}", answer.1);
        for count in [deepest * 2, 1000, 1900 / (begin.len() + middle.len() + 1)] {
            // Any answer is fine.
            ask(&nested(count)).err();
        }
    }
    for brackets in ["(", "[", "{", "a(", "((a", "a[", "{1:", "-(", "!(", "'(", "'\\z(("] {
        ask(&brackets.repeat(2000 / brackets.len())).unwrap_err();
    }
    let error = ask(&format!("object{} == 1", ".a".repeat(33))).unwrap_err();
    assert!(error.ends_with("it has more than 32 fields in one another"), "{error}");
    let error = ask(&format!("{}1 != 0", "1+".repeat(40))).unwrap_err();
    assert!(error.ends_with("it has more than 32 operations in one another"), "{error}");
}

#[test]
fn loops_in_one_another_are_bounded() {
    let object = json!({"l": (0..400).collect::<Vec<_>>(), "s": [1, 2], "t": "x".repeat(400)});
    let facts = Facts { object: &object, old: None, trigger: None };
    for (condition, is_fine) in [
        ("object.l.all(a, a >= 0)", true),
        ("object.l.filter(a, a > 1).all(a, a >= 0)", true),
        ("object.s.all(a, object.s.all(b, object.s.all(c, object.s.all(d, true))))", true),
        ("object.l.all(a, object.l.all(b, true))", false),
        ("object.t.split('').all(a, object.t.split('').all(b, true))", false),
    ] {
        let answer = Condition::compile(condition).unwrap().holds(&facts).map_err(|error| error.to_string());
        let refusal = format!(
            "condition `{condition}`: its loops would take more than 100000 steps on lists of this length; put fewer in one another"
        );
        assert_eq!(answer, if is_fine { Ok(true) } else { Err(refusal) });
    }
}

/// Not a benchmark: a bound that only a mistake of another order breaks, such as copying whole objects or making the
/// language anew each time.
#[test]
fn asking_is_cheap() {
    let mut large = object();
    let entries = (0..2000).map(|index| (format!("key-{index}"), json!({"a": [index, "text"]})));
    large["data"] = entries.collect();
    let condition = Condition::compile(
        "oldObject == null || object.metadata.generation != oldObject.metadata.generation || object.spec.replicas > 5",
    )
    .unwrap();
    let facts = Facts { object: &large, old: Some(&large), trigger: None };
    let rounds = 1000;
    let began = Instant::now();
    for _ in 0..rounds {
        assert_eq!(condition.holds(black_box(&facts)), Ok(false));
    }
    let each = began.elapsed() / rounds;
    println!("{each:?} each");
    assert!(each < Duration::from_micros(500), "{each:?} each");
}

#[test]
fn conditions_can_be_shared() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<Condition>();
}

proptest! {
    #[test]
    fn arbitrary_text_does_not_panic(
        text in "\\PC{0,40}",
        likely in r#"(object|oldObject|trigger|\.|\[|\]|\(|\)|==|&&|\|\||!|-|"|'|x|1u|0|\.all\(|has\(|\?|:|,|\{|\}| |in|\\|b'|0x){0,12}"#,
    ) {
        let object = object();
        for text in [text, likely] {
            match Condition::compile(&text) {
                Ok(condition) => {
                    if let Err(error) = condition.holds(&Facts { object: &object, old: None, trigger: None }) {
                        prop_assert_eq!(error.to_string().lines().count(), 1);
                    }
                }
                Err(error) => prop_assert_eq!(error.to_string().lines().count(), 1),
            }
        }
    }

    /// Handing over only what is needed makes no difference.
    #[test]
    fn a_part_answers_as_the_whole(
        fields in prop::collection::vec("[abc]", 1..4),
        question in prop::sample::select(vec!["has(PATH)", "PATH == 1", "PATH == null", "PATH == {'a': 1}", "size(PATH) == 1", "PATH.all(x, x == 'a')"]),
        value in values(),
    ) {
        let path = format!("object.{}", fields.join("."));
        let question = question.replace("PATH", &path);
        let part = Condition::compile(&question).unwrap();
        let whole = Condition::compile(&format!("({question}) && object == object")).unwrap();
        let facts = Facts { object: &value, old: None, trigger: None };
        prop_assert_eq!(part.holds(&facts).ok(), whole.holds(&facts).ok(), "{}", question);
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(json!(1)), Just(json!(null)), Just(json!("a")), Just(json!(["a"]))];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop::collection::btree_map("[abc]", inner, 0..3)
            .prop_map(|fields| Value::Object(fields.into_iter().collect()))
    })
}
