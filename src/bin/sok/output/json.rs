//! Lines of JSON that are safe to show.

use std::fmt::Write;
use std::time::SystemTime;

use serde_json::Value;
use sok::escape::is_visible;

/// An event as a line of JSON, with the time.
pub(crate) fn object(mut event: Value) -> String {
    event["time"] = humantime::format_rfc3339_millis(SystemTime::now())
        .to_string()
        .into();
    visible(&event.to_string())
}

/// The same JSON with everything in it visible: others than these stand only within its strings.
pub(crate) fn visible(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        match is_visible(c) {
            true => shown.push(c),
            false => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                // A String takes whatever is written to it.
                let _ = write!(shown, "\\u{unit:04x}");
            }),
        }
    }
    shown
}
