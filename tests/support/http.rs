//! HTTP as a raw peer speaks it, and the strict reading of what it gets.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{RawStream, Server};

/// A response, read to the end of its connection.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) code: u16,
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Response {
    /// Reads one response, and panics if it is not well formed.
    pub(crate) fn parse(bytes: &[u8], has_body: bool) -> Self {
        let text = std::str::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect(text);
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap();
        let code = status.strip_prefix("HTTP/1.1 ").expect(status);
        let (code, reason) = code.split_once(' ').expect(status);
        assert!(!reason.is_empty(), "{status}");
        let fields: BTreeMap<String, String> = lines
            .map(|line| {
                let (name, value) = line.split_once(": ").expect(line);
                (name.to_lowercase(), value.to_owned())
            })
            .collect();
        let length: usize = fields["content-length"].parse().unwrap();
        assert_eq!(body.len(), if has_body { length } else { 0 }, "{text}");
        assert_eq!(fields["connection"], "close");
        assert!(fields["date"].ends_with(" GMT") && fields["date"].len() == 29);
        Self {
            code: code.parse().unwrap(),
            fields,
            body: body.to_owned(),
        }
    }
}

/// The address of the status of a server; its line comes before the ready line.
pub(crate) fn status_of(server: &Server) -> String {
    let said = server.stderr().text();
    let line = said.lines().find_map(|line| {
        if let Some(address) = line.strip_prefix("status on ") {
            return Some(address.to_owned());
        }
        let event: Value = serde_json::from_str(line).ok()?;
        (event["event"] == "status").then(|| event["address"].as_str().unwrap().to_owned())
    });
    line.unwrap_or_else(|| panic!("no status in {said}"))
}

/// Requests `path` with `method`.
pub(crate) fn request(address: &str, method: &str, path: &str) -> Response {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: sok\r\n\r\n");
    answer(address, request.as_bytes(), method != "HEAD")
}

/// The response to these bytes.
pub(crate) fn answer(address: &str, request: &[u8], has_body: bool) -> Response {
    let mut client = RawStream::connect(address);
    client.send(request);
    Response::parse(&client.rest(), has_body)
}

/// The page at `path`.
pub(crate) fn page(address: &str, path: &str) -> String {
    let response = request(address, "GET", path);
    assert_eq!(response.code, 200, "{response:?}");
    response.body
}

/// The status as an object.
pub(crate) fn status(address: &str) -> Value {
    serde_json::from_str(&page(address, "/")).unwrap()
}

/// The metrics, by name and labels.
pub(crate) fn metrics(address: &str) -> BTreeMap<String, f64> {
    parse_metrics(&page(address, "/metrics"))
}

/// Reads the text format of Prometheus, version 0.0.4, and panics where `promtool check metrics` would
/// complain.
pub(crate) fn parse_metrics(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with('\n'), "the last line has no end");
    let (mut samples, mut described) = (BTreeMap::new(), BTreeMap::new());
    let mut now = String::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect(line);
            assert!(is_name(name) && !help.is_empty(), "{line}");
            assert!(
                described.insert(name.to_owned(), None).is_none(),
                "twice: {line}"
            );
            name.clone_into(&mut now);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect(line);
            assert_eq!(name, now, "TYPE does not follow HELP: {line}");
            assert!(["counter", "gauge"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(
                described
                    .insert(now.clone(), Some(kind.to_owned()))
                    .is_some()
            );
        } else {
            let (sample, value) = line.rsplit_once(' ').expect(line);
            let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
            assert_eq!(name, now, "not in its group: {line}");
            assert!(described[name].is_some(), "no TYPE: {line}");
            assert_labels(labels.strip_suffix('}').expect(line), line);
            let value: f64 = value.parse().expect(line);
            assert!(
                samples.insert(sample.to_owned(), value).is_none(),
                "twice: {line}"
            );
        }
    }
    let is_used = |name: &str| {
        samples
            .keys()
            .any(|key| key.split('{').next() == Some(name))
    };
    assert!(described.keys().all(|name| is_used(name)), "{text}");
    samples
}

fn is_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(is_part)
}

/// Checks `name="value",…`, whose values have escapes.
fn assert_labels(labels: &str, line: &str) {
    let mut rest = labels;
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").expect(line);
        assert!(is_name(name), "{line}");
        let mut chars = value.char_indices();
        let end = loop {
            match chars.next().expect(line) {
                (end, '"') => break end,
                (_, '\\') => {
                    let (_, escaped) = chars.next().expect(line);
                    assert!(['\\', '"', 'n'].contains(&escaped), "{line}");
                }
                _ => {}
            }
        };
        rest = &value[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}
