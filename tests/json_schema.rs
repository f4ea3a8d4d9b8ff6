//! What each command prints as JSON fits `docs/json.schema.json`.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::documents::{file, shell};
use crate::support;

/// Checks each line of its input against one definition of the schema, with the validator of Debian.
const VALIDATOR: &str = r##"
import json, sys
from jsonschema import Draft202012Validator
schema = json.load(open(sys.argv[1]))
Draft202012Validator.check_schema(schema)
one = {"$schema": schema["$schema"], "$ref": "#/$defs/" + sys.argv[2], "$defs": schema["$defs"]}
validator = Draft202012Validator(one)
count = 0
for line in sys.stdin:
    count += 1
    for error in validator.iter_errors(json.loads(line)):
        path = "/".join(map(str, error.absolute_path))
        causes = "; ".join(cause.message for cause in error.context)
        print(path + ": " + error.message + " " + causes, line)
assert count, "nothing was printed"
"##;

/// The faults of lines, by a definition of the schema; `None` without the validator.
fn faults(definition: &str, lines: &str) -> Option<String> {
    let python = || Command::new("/usr/bin/python3");
    let probe = python().args(["-c", "import jsonschema"]).output();
    let is_there = probe.is_ok_and(|done| done.status.success());
    if !support::required("python3-jsonschema", is_there) {
        return None;
    }
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.schema.json");
    let mut validator = python()
        .args(["-c", VALIDATOR])
        .arg(schema)
        .arg(definition)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = validator.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).unwrap();
    drop(input);
    let done = validator.wait_with_output().unwrap();
    let found = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{definition}: {lines}");
    Some(found)
}

/// Runs commands, and checks what they have printed; returns it.
fn fits(definition: &str, commands: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let ran = shell(folder.path(), commands);
    assert!(ran.is_success, "{commands}\n{}", ran.said);
    if let Some(found) = faults(definition, &ran.printed) {
        assert_eq!(found, "", "{commands}");
    }
    ran.printed
}

/// A function of the shell: it writes its input to the file `$1`, and a line to the FIFO `$1.seen` once a
/// line has `$2`.
const WATCH: &str = "watch() {
    tee \"$1\" | { grep -q \"$2\"; echo > \"$1.seen\"; cat > rest; }
}
";

/// Each of these is in what was printed: the check was not of something else.
fn has(printed: &str, parts: &[&str]) {
    for part in parts {
        assert!(printed.contains(part), "{part} is not in {printed}");
    }
}

#[test]
fn a_missing_key_and_an_unknown_one_are_found() {
    let good = r#"{"event":"note","message":"m","time":"2026-11-27T15:04:05.678Z"}"#;
    let Some(found) = faults("event", good) else {
        return;
    };
    assert_eq!(found, "");
    for bad in [
        good.replace("\"message\":\"m\",", ""),
        good.replace("\"m\"", "7"),
        good.replace("{", "{\"more\":1,"),
        good.replace(".678", ""),
    ] {
        assert_ne!(faults("event", &bad).unwrap(), "", "{bad}");
    }
}

#[test]
fn the_definitions_are_the_parts_of_the_page() {
    let page = file("docs/json.md");
    let schema: serde_json::Value = serde_json::from_str(&file("docs/json.schema.json")).unwrap();
    for definition in schema["$defs"].as_object().unwrap().values() {
        let keys = definition["properties"].as_object();
        for key in keys.into_iter().flat_map(|keys| keys.keys()) {
            assert!(page.contains(&format!("`{key}`")), "the page lacks {key}");
        }
    }
}

#[test]
fn events_of_a_server() {
    let commands = "mkfifo said events.seen
         watch events totals < said &
         watching=$!
         sok serve ./s.sock --json -v --status ./status.sock --deny uid:1 2> said &
         server=$!
         sok serve ./refusing.sock --json -v --deny any 2> refused &
         refusing=$!
         sok wait --timeout 9s ./s.sock
         sok call ./s.sock hello > reply
         sok call --retry-for 9s ./refusing.sock hello || true
         kill -USR1 $server
         read -r line < events.seen
         kill $server $refusing
         wait $server && wait $refusing && wait $watching
         cat events refused";
    let printed = fits("event", &format!("{WATCH}{commands}"));
    let parts = [
        "\"listening\"",
        "\"status\"",
        "\"connected\"",
        "\"ended\"",
        "\"totals\"",
        "\"refused\"",
    ];
    has(&printed, &parts);
}

#[test]
fn events_of_a_relay_and_its_status() {
    let commands = "sok relay ./front.sock ./none.sock ./app.sock --log json -v --status ./status.sock 2> events &
         relay=$!
         sok serve ./app.sock --framing line 2> /dev/null &
         sok wait --timeout 9s ./front.sock ./app.sock
         mkfifo hold held
         sok connect ./front.sock < hold > held &
         client=$!
         exec 4> hold 5< held
         echo hello >&4
         read reply <&5
         sok call ./front.sock hello > reply
         printf 'GET / HTTP/1.0\\r\\n\\r\\n' |
             sok call --framing eof --no-half-close ./status.sock | tail -n 1 > status
         kill -USR1 $relay
         exec 4>&-
         wait $client
         kill $relay && wait $relay
         ";
    let printed = fits("event", &format!("{commands} cat events"));
    has(&printed, &["\"target left out\"", "\"forwarded_to\""]);
    let printed = fits("status", &format!("{commands} cat status"));
    has(&printed, &["\"targets\":[{", "\"open\":[{"]);
}

#[test]
fn events_of_clients() {
    let printed = fits(
        "event",
        "sok serve ./s.sock 2> /dev/null &
         sok wait --timeout 9s ./s.sock
         sok call --json --trace -v ./s.sock hello > reply 2> events
         sok connect --json -v ./s.sock < /dev/null 2>> events
         sok call --json ./none.sock hello 2>> events || true
         sok wait --json --timeout 10ms ./none.sock 2>> events || true
         sok call --json --unknown 2>> events || true
         cat events",
    );
    has(
        &printed,
        &[
            "\"call\"",
            "\"connected\"",
            "\"exit\":2",
            "\"exit\":3",
            "\"exit\":124",
        ],
    );
}

#[test]
fn events_of_activate() {
    let commands = "mkfifo said events.seen
         watch events pause < said &
         sok activate ./s.sock --json -v --restart -- false 2> said &
         activate=$!
         read -r line < events.seen
         kill $activate
         wait
         cat events";
    let printed = fits("event", &format!("{WATCH}{commands}"));
    has(
        &printed,
        &["\"program started\"", "\"program ended\"", "\"pause\""],
    );
}

#[test]
fn check_of_families_and_of_addresses() {
    let printed = fits("check", "sok check --json || true");
    has(&printed, &["\"unix abstract\""]);
    let printed = fits(
        "check_address",
        "sok serve ./s.sock 2> /dev/null &
         sok wait --timeout 9s ./s.sock
         sok check --json ./s.sock
         sok check --json ./none.sock || true
         sok check --json udp:127.0.0.1:8082 || true",
    );
    has(
        &printed,
        &[
            "\"serves\":true",
            "\"serves\":false",
            "\"uid\"",
            "\"datagram\"",
        ],
    );
}

#[test]
fn each_lesson_of_the_tour() {
    let printed = fits("tour", "sok tour --json");
    has(&printed, &["\"lesson\":1,", "\"lesson\":9,", "\"AF_UNIX\""]);
}

#[test]
fn bench_of_each_measure_and_type() {
    let printed = fits(
        "bench",
        "sok bench --json --duration 20ms --type stream,seqpacket,datagram",
    );
    let parts = [
        "\"rtt\"",
        "\"throughput\"",
        "\"connect\"",
        "\"seqpacket\"",
        "\"bytes_per_second\":{",
    ];
    has(&printed, &parts);
}
