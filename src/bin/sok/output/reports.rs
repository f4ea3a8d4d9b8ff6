//! Prints the events of the library.

use std::fmt::{self, Write};

use sok::net::{SOCKET_CALLS, SocketCall};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::json::object;
use super::talk::talk;

/// Prints the events of the library: connections, pauses, socket calls.
pub(crate) struct Reports {
    json: bool,
}

impl Reports {
    /// As lines of text, or as objects.
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }
}

impl<S: Subscriber> Layer<S> for Reports {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target() == SOCKET_CALLS && !self.json {
            let mut call = SocketCall::default();
            event.record(&mut call);
            return talk(call.to_string());
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        if self.json {
            let kind = if metadata.target() == SOCKET_CALLS {
                "call"
            } else {
                "report"
            };
            fields.json.insert("event".to_owned(), kind.into());
            fields.json.insert(
                "level".to_owned(),
                metadata.level().as_str().to_lowercase().into(),
            );
            return talk(object(fields.json.into()));
        }
        let severity = if *metadata.level() == Level::WARN {
            "warning: "
        } else {
            ""
        };
        talk(format!("sok: {severity}{}{}", fields.message, fields.text));
    }
}

/// The fields of one report.
#[derive(Default)]
struct Fields {
    message: String,
    text: String,
    json: serde_json::Map<String, serde_json::Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: serde_json::Value, text: fmt::Arguments<'_>) {
        if field.name() == "message" {
            self.message = text.to_string();
        } else {
            // Writing to a String cannot fail.
            let _ = write!(self.text, " {}={text}", field.name());
        }
        self.json.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(
            field,
            format!("{value:?}").into(),
            format_args!("{value:?}"),
        );
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into(), format_args!("{value:?}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into(), format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into(), format_args!("{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into(), format_args!("{value:.3}"));
    }
}
