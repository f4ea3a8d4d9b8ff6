//! Lines of JSON that are safe to print.

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

/// The same JSON with invisible characters escaped: they occur only within its strings.
pub(crate) fn visible(json: &str) -> String {
    if json.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return json.to_owned();
    }
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        match is_visible(c) {
            true => shown.push(c),
            false => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                // Writing to a String cannot fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }),
        }
    }
    shown
}
