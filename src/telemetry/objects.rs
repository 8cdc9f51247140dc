//! Gauges of objects, which a config asks for: one series for each object.

use std::{borrow::Cow, fmt, sync::Arc};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, metrics::MetricType};

/// Labels by name, in the order in which they are written. Series of one object mostly share them.
pub type Labels = Arc<[(Cow<'static, str>, String)]>;

/// All of them, as they are at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObjectGauges(pub Vec<ObjectGauge>);

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectGauge {
    /// Its whole name.
    pub name: String,
    /// What it says, in one line.
    pub help: String,
    /// Labels and value of each series. No two have the same labels.
    pub series: Vec<(Labels, f64)>,
}

impl Collector for ObjectGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for ObjectGauge { name, help, series } in &self.0 {
            let help = help.replace('\\', r"\\").replace('"', "\\\"");
            let mut gauge = encoder.encode_descriptor(name, &help, None, MetricType::Gauge)?;
            for (labels, value) in series {
                gauge.encode_family(&labels.as_ref())?.encode_gauge(value)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::{encoding::text::encode_registry, registry::Registry};

    use super::*;

    #[test]
    fn labels_and_help_are_quoted_and_numbers_are_whole() {
        let labels = |name: &str| [("namespace".into(), "a".into()), ("name".into(), name.into())].into();
        let series = vec![(labels("x"), 1.0), (labels("\"y\"\n"), 1_732_399_200.25)];
        let gauge =
            ObjectGauge { name: "hello_ready".to_owned(), help: r#"Is it "ready"?"#.to_owned(), series };
        let none = ObjectGauge { name: "hello_none".to_owned(), help: "None".to_owned(), series: Vec::new() };
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ObjectGauges(vec![gauge, none])));
        let mut text = String::new();
        encode_registry(&mut text, &registry).unwrap();
        assert_eq!(
            text,
            "# HELP hello_ready Is it \\\"ready\\\"?\n# TYPE hello_ready gauge\n\
             hello_ready{namespace=\"a\",name=\"x\"} 1.0\n\
             hello_ready{namespace=\"a\",name=\"\\\"y\\\"\\n\"} 1732399200.25\n\
             # HELP hello_none None\n# TYPE hello_none gauge\n"
        );
    }
}
