//! `sok bench`: what it measures, what it prints, and what it refuses.

use std::fs;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{
    Kind, Place, Process, RawListener, RawMessageListener, RawStream, Server, Terminal, have,
    require_peer, sok, uncoloured,
};

/// Long enough to measure something, and no longer.
const SHORT: [&str; 2] = ["--duration", "30ms"];

fn bench(arguments: &[&str]) -> crate::support::Done {
    let mut all = vec!["bench"];
    all.extend(arguments);
    sok(&all)
}

/// The results of a successful bench, in JSON.
fn results(arguments: &[&str]) -> Vec<Value> {
    let mut all = arguments.to_vec();
    all.push("--json");
    let done = bench(&all);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    report["results"].as_array().unwrap().clone()
}

/// Serves each connection on a separate thread, while the test runs; `serve` gets the number of earlier
/// connections.
fn raw_server(place: &Place, serve: impl Fn(RawStream, u64) + Send + Sync + 'static) -> String {
    let listener = RawListener::bind(place);
    let address = listener.address().to_owned();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for number in 0.. {
            let stream = listener.accept();
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream, number));
        }
    });
    address
}

forms!(each_measure_talks_to_a_server_at_an_address, |place| {
    let server = Server::start(place, &["--echo"]);
    for measure in ["rtt", "throughput", "connect"] {
        if measure == "throughput" && loses(place) {
            continue;
        }
        let all = results(&[measure, server.address(), "--duration", "30ms"]);
        let [one] = all.as_slice() else {
            panic!("{all:?}")
        };
        assert_eq!(one["measure"], measure);
        assert_eq!(one["family"], place.family());
        assert_eq!(one["type"], place.socket_type().name());
        assert_eq!(one["address"], server.address());
        assert_eq!(one["own_server"], false);
        assert!(one["count"].as_u64().unwrap() > 0, "{one}");
        assert_eq!((&one["errors"], &one["dropped"]), (&0.into(), &0.into()));
    }
});

/// Whether a message can get lost on its way.
fn loses(place: &Place) -> bool {
    !place.has_connection() && place.is_network()
}

messages!(
    how_much_a_server_receives_is_asked_only_where_it_can_be_known,
    |place| {
        let server = Server::start(place, &["--discard"]);
        let done = bench(&["throughput", server.address(), "--duration", "30ms"]);
        let all = bench(&[server.address(), "--timeout", "50ms"]);
        match loses(place) {
            true => {
                assert_eq!(done.code, 2, "{}", done.stderr);
                assert!(done.stderr.contains(server.address()), "{}", done.stderr);
                assert!(all.stderr.contains("skipped throughput"), "{}", all.stderr);
            }
            false => {
                assert_eq!(done.code, 0, "{}", done.stderr);
                assert!(!all.stderr.contains("skipped"), "{}", all.stderr);
            }
        }
    }
);

messages!(a_message_above_the_limit_is_a_usage_error, |place| {
    let server = Server::start(place, &["--echo"]);
    let size = |size: usize| {
        let size = size.to_string();
        bench(&[
            "rtt",
            server.address(),
            "--size",
            &size,
            "--duration",
            "30ms",
        ])
    };
    let refused = size(1 << 29);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(
        refused.stderr.contains(server.address()),
        "{}",
        refused.stderr
    );
    let limit = refused.stderr.split("above the limit of ").nth(1);
    let limit = limit.and_then(|rest| rest.split(' ').next());
    let limit: usize = limit.expect("a limit").parse().unwrap();
    let largest = size(limit);
    assert_eq!(largest.code, 0, "{}", largest.stderr);
    assert_eq!(size(limit + 1).code, 2);
});

/// Answers each datagram with those that `reply` makes of it.
fn raw_receiver(
    place: &Place,
    mut reply: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> String {
    let listener = RawMessageListener::bind(place);
    let address = listener.address().to_owned();
    thread::spawn(move || {
        loop {
            let peer = listener.accept();
            for message in reply(&peer.receive()) {
                // A client that has gone needs no reply.
                let _ = peer.try_send(&message);
            }
        }
    });
    address
}

datagrams!(a_lost_message_is_counted_and_the_next_is_sent, |place| {
    // A reply that comes too late is not that of the next message.
    let mut late = Vec::new();
    let address = raw_receiver(place, move |message| {
        let number = u64::from_le_bytes(message[..8].try_into().unwrap());
        if number == 1 {
            // Of another client.
            late.clear();
        }
        if number % 10 == 9 {
            late = message.to_vec();
            return Vec::new();
        }
        let both = [std::mem::take(&mut late), message.to_vec()];
        both.into_iter().filter(|reply| !reply.is_empty()).collect()
    });
    for spin in [&[][..], &["--spin"]] {
        let mut words = vec!["rtt", &address, "--timeout", "50ms"];
        words.extend(["--duration", "300ms"]);
        words.extend(spin);
        let one = results(&words).remove(0);
        let of = |key: &str| one[key].as_u64().unwrap();
        assert!(of("count") > 0 && of("dropped") > 0, "{one}");
        assert_eq!(of("errors"), 0);
        let number = |key: &str| one[key].as_f64().unwrap();
        let (lost, replied) = (number("dropped"), number("count"));
        let share = 100.0 * lost / (lost + replied);
        let shown = number("lost_percent");
        assert!((shown - share).abs() < 0.001, "{one}");
    }
});

messages!(
    a_server_of_messages_that_does_not_echo_is_reported,
    |place| {
        if place.has_connection() {
            let server = Server::start(place, &["--suffix", "!"]);
            let done = bench(&["rtt", server.address(), "--duration", "30ms"]);
            assert_eq!(done.code, 1, "{}", done.stderr);
            return;
        }
        for (add, cause) in [("!", "longer than the 64 bytes"), ("", "differs from")] {
            let address = raw_receiver(place, move |message| {
                let other = [b"another".as_slice(), message].concat();
                match add {
                    "" => vec![other[..message.len()].to_vec()],
                    add => vec![[message, add.as_bytes()].concat()],
                }
            });
            let done = bench(&["rtt", &address, "--duration", "30ms"]);
            assert_eq!(done.code, 1, "{}", done.stderr);
            assert!(done.stderr.contains(cause), "{}", done.stderr);
        }
    }
);

messages!(our_own_server_counts_what_arrives, |place| {
    let socket_type = place.socket_type().name();
    let options = ["--type", socket_type, "--families", place.family()];
    let mut words = vec!["throughput", "--connections", "3", "--duration", "60ms"];
    words.extend(options);
    let one = results(&words).remove(0);
    assert!(one["bytes"].as_u64().unwrap() > 0, "{one}");
    assert_eq!(one["errors"], 0, "{one}");
    assert_eq!(
        one["lost_percent"].is_null(),
        place.has_connection(),
        "{one}"
    );
    if !loses(place) {
        assert_eq!(one["dropped"], 0, "{one}");
    }
});

families!(a_sink_gets_bytes_and_need_not_answer, |place| {
    let server = Server::start(place, &["--discard"]);
    let all = results(&["throughput", server.address(), "--duration", "30ms"]);
    assert!(all[0]["bytes"].as_u64().unwrap() > 0, "{all:?}");
});

families!(many_connections_are_used_at_once, |place| {
    let most = Arc::new(AtomicU64::new(0));
    let (open, seen) = (AtomicU64::new(0), Arc::clone(&most));
    let address = raw_server(place, move |mut stream, _| {
        let now = open.fetch_add(1, Ordering::SeqCst) + 1;
        seen.fetch_max(now, Ordering::SeqCst);
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        open.fetch_sub(1, Ordering::SeqCst);
    });
    let all = results(&["rtt", &address, "--connections", "7", "--duration", "30ms"]);
    assert!(all[0]["count"].as_u64().unwrap() >= 7, "{all:?}");
    assert!(most.load(Ordering::SeqCst) >= 7);
});

families!(a_message_larger_than_all_buffers_comes_back, |place| {
    let server = Server::start(place, &["--echo"]);
    for spin in [&[][..], &["--spin"]] {
        let mut words = vec!["rtt", server.address(), "--size", "8MiB"];
        words.extend(SHORT);
        words.extend(spin);
        assert!(results(&words)[0]["count"].as_u64().unwrap() > 0);
    }
});

/// What a family's rows say, in the order that is asked for.
#[test]
fn all_measures_on_all_families_are_the_default() {
    let families: Vec<&str> = [Kind::Inet, Kind::Inet6, Kind::Unix]
        .into_iter()
        .filter(|kind| have(*kind))
        .map(Kind::name)
        .collect();
    let all = results(&SHORT);
    let mut wanted = Vec::new();
    for measure in ["rtt", "throughput", "connect"] {
        wanted.extend(families.iter().map(|family| (measure, *family)));
    }
    let got: Vec<(&str, &str)> = all
        .iter()
        .map(|one| {
            let text = |key: &str| one[key].as_str().unwrap();
            (text("measure"), text("family"))
        })
        .collect();
    assert_eq!(got, wanted);
    for one in &all {
        assert_eq!(one["own_server"], true);
        assert_eq!(
            (&one["errors"], &one["dropped"]),
            (&0.into(), &0.into()),
            "{one}"
        );
        if one["family"] == families[0] {
            assert_eq!(one["relative"], 1.0);
        }
    }
}

#[test]
fn the_given_families_are_measured_in_order() {
    let all = results(&[
        "rtt",
        "--families",
        "unix,inet",
        "--spin",
        "--duration",
        "30ms",
    ]);
    let families: Vec<&Value> = all.iter().map(|one| &one["family"]).collect();
    assert_eq!(families, ["unix", "inet"]);
    assert_eq!(all[0]["relative"], 1.0);
}

#[test]
fn the_given_types_are_measured_on_each_family_that_has_them() {
    let have = [Kind::Inet, Kind::Inet6].iter().all(|kind| have(*kind));
    if !have {
        return;
    }
    let rows = |words: &[&str]| -> Vec<String> {
        let mut all = vec!["rtt", "--duration", "30ms"];
        all.extend(words);
        let results = results(&all);
        let name = |one: &Value| {
            let text = |key: &str| one[key].as_str().unwrap().to_owned();
            let prefix = text("address").split(':').next().unwrap().to_owned();
            format!("{} {} {prefix}", text("family"), text("type"))
        };
        assert_eq!(results[0]["relative"], 1.0);
        results.iter().map(name).collect()
    };
    assert_eq!(
        rows(&["--type", "datagram,seqpacket", "--type", "stream"]),
        [
            "inet datagram udp4",
            "inet6 datagram udp6",
            "unix datagram unixgram",
            "unix seqpacket unixpacket",
            "inet stream inet",
            "inet6 stream inet6",
            "unix stream unix"
        ]
    );
    assert_eq!(
        rows(&["--type", "seqpacket,datagram", "--families", "unix,inet"]),
        [
            "unix seqpacket unixpacket",
            "unix datagram unixgram",
            "inet datagram udp4"
        ]
    );
}

#[test]
fn all_types_are_sent_messages_of_one_size() {
    let size = |words: &[&str]| {
        let mut all = vec!["throughput", "--families", "unix,inet"];
        all.extend(["--duration", "30ms"]);
        all.extend(words);
        let sizes: Vec<u64> = results(&all)
            .iter()
            .map(|one| one["size"].as_u64().unwrap())
            .collect();
        assert!(sizes.iter().all(|size| *size == sizes[0]), "{sizes:?}");
        sizes[0]
    };
    assert_eq!(size(&[]), 64 * 1024);
    assert_eq!(size(&["--type", "stream,datagram"]), 32 * 1024);
    assert_eq!(
        size(&["--type", "stream,datagram", "--size", "65507"]),
        65507
    );
}

#[test]
fn lost_datagrams_have_a_column() {
    let done = bench(&[
        "rtt",
        "--type",
        "stream,datagram",
        "--families",
        "unix",
        "--duration",
        "30ms",
    ]);
    let text = done.text();
    let head = text
        .lines()
        .find(|line| line.starts_with("family"))
        .unwrap();
    let at = head.find("lost").expect(head) + "lost".len();
    let lost = |form: &str| {
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("{form} ")))
            .unwrap();
        row[..at].split("  ").last().unwrap().trim().to_owned()
    };
    assert_eq!(
        (lost("unix"), lost("unixgram")),
        ("-".to_owned(), "0.00 %".to_owned()),
        "{text}"
    );
    let without = bench(&["rtt", "--families", "unix", "--duration", "30ms"]).text();
    assert!(!without.contains("lost"), "{without}");
}

/// `a.b: type` for each key, a list by its first element.
fn shape(value: &Value, path: &str, lines: &mut Vec<String>) {
    let kind = match value {
        Value::Object(keys) => {
            for (key, value) in keys {
                shape(value, &format!("{path}.{key}"), lines);
            }
            return;
        }
        Value::Array(each) => match each.first() {
            Some(first) => return shape(first, &format!("{path}[]"), lines),
            None => "list",
        },
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_u64() => "count",
        Value::Number(_) => "number",
        Value::String(_) => "text",
    };
    lines.push(format!("{path}: {kind}"));
}

fn shape_of(arguments: &[&str]) -> String {
    let mut all = arguments.to_vec();
    all.push("--json");
    let report: Value = serde_json::from_slice(&bench(&all).stdout).unwrap();
    let mut lines = Vec::new();
    shape(&report, "", &mut lines);
    lines.sort();
    lines.join("\n")
}

#[test]
fn the_json_report_keeps_its_shape() {
    let times = shape_of(&[
        "rtt",
        "--families",
        "unix",
        "--duration",
        "30ms",
        "--cpus",
        "0",
    ]);
    assert_eq!(times, TIMES);
    let rates = shape_of(&[
        "throughput",
        "--families",
        "unix",
        "--duration",
        "30ms",
        "--cpus",
        "0",
    ]);
    let wanted = TIMES
        .lines()
        .filter(|line| !line.starts_with(".results[].times"))
        .flat_map(|line| match line {
            ".results[].bytes: null" => vec![".results[].bytes: count"],
            ".results[].bytes_per_second: null" => vec![
                ".results[].bytes_per_second.max: number",
                ".results[].bytes_per_second.mean: number",
                ".results[].bytes_per_second.min: number",
            ],
            ".results[].size: count" => vec![line, ".results[].times: null"],
            line => vec![line],
        });
    let mut wanted: Vec<&str> = wanted.collect();
    wanted.sort_unstable();
    assert_eq!(rates, wanted.join("\n"));
}

const TIMES: &str = "\
.began: number
.machine.architecture: text
.machine.cpus: count
.machine.kernel: text
.plan.client_cpu: count
.plan.connections: count
.plan.duration: number
.plan.rate: null
.plan.slices: count
.plan.spin: bool
.results[].address: text
.results[].bytes: null
.results[].bytes_per_second: null
.results[].client_cpus: number
.results[].count: count
.results[].dropped: count
.results[].errors: count
.results[].family: text
.results[].lost_percent: null
.results[].measure: text
.results[].own_server: bool
.results[].per_second: number
.results[].relative: number
.results[].seconds: number
.results[].server_cpus: number
.results[].size: count
.results[].times.max_ns: count
.results[].times.mean_ns: number
.results[].times.min_ns: count
.results[].times.p50_ns: count
.results[].times.p90_ns: count
.results[].times.p999_ns: count
.results[].times.p99_ns: count
.results[].times.stdev_ns: number
.results[].type: text
.version: count
.warnings: list";

#[test]
fn the_comma_separated_values_keep_their_columns() {
    let done = bench(&[
        "--families",
        "unix",
        "--csv",
        "--rate",
        "1000",
        "--duration",
        "30ms",
    ]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let text = done.text();
    let mut lines = text.lines();
    let head = "measure,family,address,own_server,size,connections,rate,spin,count,seconds,\
                per_second,relative,min_ns,mean_ns,p50_ns,p90_ns,p99_ns,p999_ns,max_ns,stdev_ns,\
                bytes,bytes_per_second_min,bytes_per_second_mean,bytes_per_second_max,errors,\
                dropped,client_cpus,server_cpus,type,lost_percent";
    assert_eq!(lines.next(), Some(head));
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 3, "{text}");
    let names: Vec<&str> = head.split(',').collect();
    for row in &rows {
        assert_eq!(row.len(), names.len(), "{text}");
        for (name, cell) in names.iter().zip(row) {
            match *name {
                "measure" | "family" | "address" | "type" => assert!(!cell.is_empty()),
                "own_server" | "spin" => assert!(cell.parse::<bool>().is_ok(), "{name} {cell}"),
                "lost_percent" => assert_eq!(*cell, ""),
                _ if cell.is_empty() => {
                    let bulk = name.starts_with("bytes");
                    assert!(bulk != (row[0] == "throughput"), "{name} of {}", row[0]);
                }
                _ => assert!(cell.parse::<f64>().is_ok(), "{name} {cell}"),
            }
        }
    }
}

#[test]
fn a_table_and_a_bar_for_each_family_are_printed() {
    let done = bench(&["rtt", "--families", "unix,inet", "--duration", "30ms"]);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    let text = done.text();
    for word in ["p99.9", "stdev", "p50 vs unix", "x 1.00"] {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
    for family in ["unix", "inet"] {
        let rows = text
            .lines()
            .filter(|line| line.starts_with(&format!("{family} ")));
        assert_eq!(rows.count(), 2, "{text}");
    }
    assert!(text.contains('█'), "{text}");
}

#[test]
fn the_drawing_is_well_formed_and_has_a_curve_for_each_family() {
    let place = Place::new(Kind::Unix);
    let path = place.path("cost.svg");
    let file = path.to_str().unwrap();
    let done = bench(&[
        "--families",
        "inet,unix",
        "--svg",
        file,
        "--duration",
        "30ms",
    ]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let text = fs::read_to_string(&path).unwrap();
    let drawing = roxmltree::Document::parse(&text).unwrap();
    // Those of rtt and connect; a line of two points is an axis or in the legend.
    let mut colours: Vec<&str> = drawing
        .descendants()
        .filter(|node| node.has_tag_name("polyline"))
        .filter(|node| node.attribute("points").unwrap().split_whitespace().count() > 2)
        .map(|node| node.attribute("stroke").unwrap())
        .collect();
    colours.sort_unstable();
    assert_eq!(colours.len(), 4, "{colours:?}");
    assert_eq!(colours[0], colours[1]);
    assert_eq!(colours[2], colours[3]);
    assert_ne!(colours[0], colours[2]);
    for colour in [colours[0], colours[2]] {
        let bars = drawing
            .descendants()
            .filter(|node| node.has_tag_name("rect") && node.attribute("fill") == Some(colour));
        assert_eq!(bars.count(), 3, "{text}");
    }
    let words: String = drawing
        .descendants()
        .filter_map(|node| node.text())
        .collect();
    for word in ["inet", "unix", "percentile", "Round trip of", "99 %", "B/s"] {
        assert!(words.contains(word), "{word} is not in {words}");
    }
}

#[test]
fn other_programs_read_the_tagged_log_of_times() {
    let place = Place::new(Kind::Unix);
    let path = place.path("cost.hlog");
    let file = path.to_str().unwrap();
    let all = results(&[
        "--families",
        "unix,inet",
        "--hdr",
        file,
        "--duration",
        "30ms",
    ]);
    let log = fs::read(&path).unwrap();
    let mut read = Vec::new();
    for entry in IntervalLogIterator::new(&log) {
        if let LogEntry::Interval(interval) = entry.unwrap() {
            let bytes = base64(interval.encoded_histogram());
            let histogram = Deserializer::new()
                .deserialize::<u64, _>(&mut bytes.as_slice())
                .unwrap();
            let tag = interval.tag().unwrap().as_str().to_owned();
            read.push((tag, histogram.len(), histogram.value_at_quantile(0.5)));
        }
    }
    let wanted: Vec<(String, u64, u64)> = all
        .iter()
        .filter(|one| one["measure"] != "throughput")
        .map(|one| {
            let tag = format!(
                "{}-{}",
                one["measure"].as_str().unwrap(),
                one["family"].as_str().unwrap()
            );
            let median = one["times"]["p50_ns"].as_u64().unwrap();
            (tag, one["count"].as_u64().unwrap(), median)
        })
        .collect();
    assert_eq!(wanted.len(), 4);
    assert_eq!(read, wanted);
}

/// Reads base64 (RFC 4648, section 4).
fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for digit in text.bytes().take_while(|byte| *byte != b'=') {
        let value = DIGITS.iter().position(|known| *known == digit).unwrap();
        bits = bits << 6 | u32::try_from(value).unwrap();
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).unwrap());
        }
    }
    bytes
}

// What a stall shows

/// An echo server that stalls once, in a slice that counts, and records for how long.
fn stalling_server(place: &Place) -> (String, Arc<Mutex<Option<Duration>>>) {
    let stalled = Arc::new(Mutex::new(None));
    let shared = Arc::clone(&stalled);
    let address = raw_server(place, move |mut stream, number| {
        let began = Instant::now();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            // The first connection is the warm-up's, and the begin of a slice counts for nothing.
            if number >= 1 && began.elapsed() > Duration::from_millis(30) {
                let mut stalled = shared.lock().unwrap();
                if stalled.is_none() {
                    let gate = Instant::now();
                    let (_open, never) = mpsc::channel::<()>();
                    let _ = never.recv_timeout(Duration::from_millis(200));
                    assert!(never.recv_timeout(Duration::ZERO).is_err());
                    *stalled = Some(gate.elapsed());
                }
            }
            if stream.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
    });
    (address, stalled)
}

fn times_with_a_stall(place: &Place, options: &[&str]) -> (Value, u64) {
    let (address, stalled) = stalling_server(place);
    let mut words = vec!["rtt", &address, "--duration", "1s"];
    words.extend(options);
    let one = results(&words).remove(0);
    let stall = stalled.lock().unwrap().expect("the server stalled");
    (one, u64::try_from(stall.as_nanos()).unwrap())
}

families!(
    a_stall_is_in_the_percentiles_of_a_schedule_and_hidden_in_a_closed_loop,
    |place| {
        let (open, stall) = times_with_a_stall(place, &["--rate", "1000"]);
        let p999 = open["times"]["p999_ns"].as_u64().unwrap();
        // The second that waited was to begin a thousandth of a second later.
        assert!(p999 + 5_000_000 >= stall, "{p999} of {stall}: {open}");
        let p90 = open["times"]["p90_ns"].as_u64().unwrap();
        assert!(p90 >= stall / 10, "{p90} of {stall}: {open}");

        let (closed, stall) = times_with_a_stall(place, &[]);
        let count = closed["count"].as_u64().unwrap();
        assert!(count > 2000, "too few to tell: {closed}");
        assert!(
            closed["times"]["max_ns"].as_u64().unwrap() + stall / 1000 >= stall,
            "{closed}"
        );
        assert!(
            closed["times"]["p999_ns"].as_u64().unwrap() < stall / 2,
            "{closed}"
        );
    }
);

// Failures

families!(a_server_that_does_not_echo_is_reported, |place| {
    for (reply, cause) in [
        (&b"another text of the size"[..], "differs from the message"),
        (b"", "longer than the 24 bytes"),
    ] {
        let address = raw_server(place, move |mut stream, _| {
            let mut buffer = [0; 24];
            while stream.read_exact(&mut buffer).is_ok() {
                let mut all = if reply.is_empty() {
                    buffer.to_vec()
                } else {
                    reply.to_vec()
                };
                all.extend(if reply.is_empty() { &b"!"[..] } else { b"" });
                if stream.write_all(&all).is_err() {
                    break;
                }
            }
        });
        let done = bench(&["rtt", &address, "--size", "24", "--duration", "30ms"]);
        assert_eq!(done.code, 1, "{}", done.stderr);
        assert!(done.stderr.contains(cause), "{}", done.stderr);
        assert!(done.stderr.contains(&address), "{}", done.stderr);
        assert_eq!(done.text(), "");
    }
});

forms!(a_server_that_never_replies_ends_the_run, |place| {
    let server = Server::start(place, &["--discard"]);
    for spin in [&[][..], &["--spin"]] {
        let mut words = vec!["rtt", server.address(), "--timeout", "50ms"];
        words.extend(spin);
        let done = bench(&words);
        assert_eq!(done.code, 124, "{}", done.stderr);
        assert!(done.stderr.contains("0 of 64 bytes"), "{}", done.stderr);
        assert!(done.stderr.contains(server.address()), "{}", done.stderr);
    }
});

families!(a_server_that_closes_early_is_a_broken_connection, |place| {
    let address = raw_server(place, |mut stream, _| {
        let _ = stream.read(&mut [0; 10]);
    });
    for measure in ["rtt", "throughput", "connect"] {
        let done = bench(&[measure, &address, "--duration", "30ms"]);
        assert_eq!(done.code, 6, "{measure}: {}", done.stderr);
        assert!(done.stderr.contains(&address), "{measure}: {}", done.stderr);
    }
});

families!(
    a_connection_that_breaks_later_is_counted_and_the_run_fails,
    |place| {
        let address = raw_server(place, |mut stream, number| {
            let mut buffer = [0; 4096];
            let mut left = if number == 1 { 5 } else { u64::MAX };
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                left -= 1;
                if left == 0 || stream.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
        });
        let done = bench(&["rtt", &address, "--json", "--duration", "100ms"]);
        assert_eq!(done.code, 6, "{}", done.stderr);
        let report: Value = serde_json::from_slice(&done.stdout).unwrap();
        let one = &report["results"][0];
        assert_eq!(
            (&one["errors"], &one["dropped"]),
            (&1.into(), &1.into()),
            "{one}"
        );
        assert!(done.stderr.contains(&address), "{}", done.stderr);
    }
);

families!(delayed_acknowledgements_are_reported, |place| {
    // Its sockets are as they are by default, Nagle on.
    let address = raw_server(place, |mut stream, _| {
        let mut message = [0; 64];
        while stream.read_exact(&mut message).is_ok() {
            for piece in message.chunks(20) {
                if stream.write_all(piece).is_err() {
                    return;
                }
            }
        }
    });
    let done = bench(&["rtt", &address, "--duration", "200ms"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let warned = done.stderr.contains("Nagle");
    assert_eq!(warned, place.is_network(), "{}{}", done.text(), done.stderr);
});

forms!(no_server_is_reported, |place| {
    let nobody = place.nobody();
    for measure in ["rtt", "throughput", "connect"] {
        if measure == "throughput" && loses(place) {
            continue;
        }
        let done = bench(&[measure, &nobody.address]);
        assert_eq!(done.code, 3, "{}", done.stderr);
        assert!(done.stderr.contains(&nobody.address), "{}", done.stderr);
    }
});

#[test]
fn wrong_bench_arguments_are_usage_errors() {
    for words in [
        &["--size", "0"][..],
        &["--connections", "0"],
        &["--duration", "0s"],
        &["--rate", "0"],
        &["--rate", "0.5", "--duration", "1s"],
        &["--cpus", "99999"],
        &["--cpus", "0,0", "./s.sock"],
        &["--families", "ipx"],
        &["--families", "unix", "./s.sock"],
        &["--type", "raw"],
        &["--type", "stream", "./s.sock"],
        &["--type", "seqpacket", "--families", "unix,inet"],
        &["latency", "./s.sock"],
        &["--csv", "--json"],
    ] {
        let done = bench(words);
        assert_eq!(done.code, 2, "{words:?}: {}", done.stderr);
        assert_eq!(done.text(), "");
    }
}

#[test]
fn more_connections_than_descriptors_are_refused_before_the_run() {
    let script = "ulimit -n 200; exec \"$SOK\" bench rtt --families unix --connections 150";
    let done = Process::sh(script, &[]).done();
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(done.stderr.contains("open files is 200"), "{}", done.stderr);
    assert!(done.stderr.contains("ulimit"), "{}", done.stderr);
}

#[test]
fn more_connections_than_the_soft_limit_are_no_error() {
    let script =
        "ulimit -Sn 50; exec \"$SOK\" bench rtt --families unix --connections 60 --duration 30ms";
    let done = Process::sh(script, &[]).done();
    assert_eq!(done.code, 0, "{}", done.stderr);
}

#[test]
fn an_unwritable_file_fails_before_the_run() {
    let place = Place::new(Kind::Unix);
    let listener = RawListener::bind(&place);
    let path = place.path("missing/cost");
    let path = path.to_str().unwrap();
    for option in ["--svg", "--hdr"] {
        // Nobody accepts there: a run would end by its time limit.
        let done = bench(&["rtt", listener.address(), option, path, "--timeout", "60s"]);
        assert_eq!(done.code, 1, "{}", done.stderr);
        assert!(done.stderr.contains(path), "{}", done.stderr);
    }
}

#[test]
fn a_failed_run_leaves_no_file_and_keeps_an_old_one() {
    let place = Place::new(Kind::Unix);
    let nobody = place.nobody();
    let old = place.file("old.svg", "what was there");
    for path in [place.path("new.svg"), old.clone()] {
        let done = bench(&["rtt", &nobody.address, "--svg", path.to_str().unwrap()]);
        assert_eq!(done.code, 3, "{}", done.stderr);
    }
    assert_eq!(place.listing(), ["old.svg"]);
    assert_eq!(fs::read(&old).unwrap(), b"what was there");
}

// What it leaves behind

/// The children of a running process, once it has `count` of them.
fn children(process: &Process, count: usize) -> Vec<i32> {
    let pid = process.pid();
    loop {
        let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let children: Vec<i32> = listed
            .split_whitespace()
            .map(|pid| pid.parse().unwrap())
            .collect();
        if children.len() == count {
            return children;
        }
        assert!(!process.has_ended(), "{}", process.stderr().text());
        thread::yield_now();
    }
}

/// Whether a process runs; a zombie does not.
fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.starts_with(['Z', 'X']));
    state == Some(false)
}

#[test]
fn a_signal_ends_the_servers_too_and_no_result_is_printed() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let process = Process::sok(&["bench", "--families", "unix", "--duration", "60s"]);
        let servers = children(&process, 3);
        process.signal(signal);
        let done = process.done();
        assert_eq!(
            (done.code, done.text().as_str()),
            (code, ""),
            "{}",
            done.stderr
        );
        for server in servers {
            assert!(!runs(server), "{server} still runs");
        }
    }
}

#[test]
fn servers_do_not_outlive_a_bench_that_is_killed() {
    let place = Place::new(Kind::Unix);
    let mut command = std::process::Command::new(Process::PROGRAM);
    command.args([
        "bench",
        "rtt",
        "--families",
        "unix",
        "--spin",
        "--duration",
        "60s",
    ]);
    command.env("TMPDIR", place.directory());
    let process = Process::spawn(command);
    let servers = children(&process, 1);
    process.signal(Signal::SIGKILL);
    assert_eq!(process.wait(), 137);
    let late = Instant::now() + crate::support::LIMIT;
    while runs(servers[0]) {
        assert!(Instant::now() < late, "the server still runs");
        thread::yield_now();
    }
    assert_eq!(place.listing(), Vec::<String>::new());
}

#[test]
fn connections_leave_no_port_waiting() {
    let place = Place::new(Kind::Inet);
    let server = Server::start(&place, &[]);
    let all = results(&["connect", server.address(), "--duration", "100ms"]);
    assert!(all[0]["count"].as_u64().unwrap() > 10, "{all:?}");
    let port: u16 = server.port().parse().unwrap();
    let port = format!(":{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let waiting = table.lines().filter(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // 06 is TIME_WAIT.
        fields[3] == "06" && (fields[1].ends_with(&port) || fields[2].ends_with(&port))
    });
    assert_eq!(waiting.count(), 0);
}

families!(a_server_that_closes_first_is_a_failure, |place| {
    let address = raw_server(place, |mut stream, _| {
        stream.finish();
        // It takes a little, and then no more.
        let _ = stream.read(&mut [0; 1000]);
        thread::park();
    });
    let done = bench(&[
        "throughput",
        &address,
        "--duration",
        "30ms",
        "--timeout",
        "200ms",
    ]);
    assert_eq!(done.code, 6, "{}", done.stderr);
    assert_eq!(done.text(), "", "{}", done.stderr);
});

families!(a_server_that_stops_keeps_the_earlier_results, |place| {
    let listener = RawListener::bind(place);
    let address = listener.address().to_owned();
    // A warm-up and the first of two slices, one connection each, and then no server.
    let serving = thread::spawn(move || {
        for _ in 0..2 {
            let mut stream = listener.accept();
            let mut buffer = [0; 64];
            while stream.read_exact(&mut buffer).is_ok() {
                stream.send(&buffer);
            }
        }
    });
    let done = bench(&["rtt", &address, "--duration", "1900ms", "--json"]);
    serving.join().unwrap();
    assert_ne!(done.code, 0, "{}{}", done.text(), done.stderr);
    assert!(done.stderr.contains(&address), "{}", done.stderr);
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(
        report["results"][0]["count"].as_u64().unwrap() > 0,
        "{report}"
    );
});

#[test]
fn an_unknown_measure_gets_the_known_ones_as_a_hint() {
    for words in [&["latency"][..], &["latency", "./s.sock"]] {
        let done = bench(words);
        assert_eq!(done.code, 2);
        let expected = "choose rtt, throughput or connect";
        assert!(done.stderr.contains(expected), "{}", done.stderr);
    }
}

#[test]
fn an_option_without_effect_is_a_usage_error() {
    for options in [
        &["--cpus", "0,0,0"][..],
        &["--size", "1TiB"],
        &["--timeout", "0s"],
        &["--svg", "same", "--hdr", "same"],
        &["throughput", "--hdr", "log"],
        &["throughput", "--spin"],
        &["connect", "--spin"],
        &["throughput", "--rate", "10"],
    ] {
        let done = bench(options);
        assert_eq!(done.code, 2, "{options:?}: {}", done.stderr);
    }
}

#[test]
fn one_processor_is_one_word() {
    let place = Place::new(Kind::Unix);
    let server = Server::start(&place, &[]);
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let mut cpus = 0..CpuSet::count();
    let cpu = cpus.find(|cpu| allowed.is_set(*cpu).unwrap()).unwrap();
    let cpu = cpu.to_string();
    let done = bench(&[
        "--cpus",
        &cpu,
        "rtt",
        server.address(),
        "--duration",
        "30ms",
    ]);
    assert_eq!(done.code, 0, "{}", done.stderr);
}

#[test]
fn the_files_are_written_even_if_the_output_is_closed() {
    let place = Place::new(Kind::Unix);
    let server = Server::start(&place, &[]);
    let drawing = place.path("cost.svg");
    let script = r#""$SOK" bench rtt "$1" --duration 30ms --svg "$2" >/dev/full"#;
    let done = Process::sh(script, &[server.address(), drawing.to_str().unwrap()]).done();
    assert_ne!(done.code, 0, "{}{}", done.text(), done.stderr);
    assert!(fs::read_to_string(&drawing).unwrap().contains("</svg>"));
}

#[test]
fn a_failed_run_keeps_a_link() {
    let place = Place::new(Kind::Unix);
    let link = place.path("link.svg");
    std::os::unix::fs::symlink("nowhere.svg", &link).unwrap();
    let nobody = place.nobody();
    let done = bench(&["rtt", &nobody.address, "--svg", link.to_str().unwrap()]);
    assert_eq!(done.code, 3, "{}", done.stderr);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn on_a_terminal_the_columns_that_do_not_fit_are_left_out() {
    if !require_peer("setsid") {
        return;
    }
    let words = ["bench", "--families", "unix,inet", "--duration", "30ms"];
    let show = |columns| {
        let terminal = Terminal::run_with(&words, &[("COLUMNS", columns)]);
        // Of rtt and connect: in the head twice, and at each bar; the last bar is the end.
        let end = |text: &str| text.matches("p50 ").count() == 2 * 4 && text.ends_with('\n');
        let screen = terminal.screen.wait_until("the last bar", end);
        assert_eq!(terminal.ended(), Some(0), "{screen}");
        uncoloured(&screen)
    };
    let lines = show("80");
    for line in &lines {
        assert!(line.chars().count() <= 80, "{line:?}");
    }
    let head = lines
        .iter()
        .find(|line| line.starts_with("family"))
        .unwrap();
    assert!(
        head.contains("p50") && head.ends_with("p50 vs unix"),
        "{head}"
    );
    let note = "Columns that do not fit: errors, dropped, stdev, min";
    assert!(lines.iter().any(|line| line.starts_with(note)), "{lines:?}");
    assert!(
        show("200")
            .iter()
            .all(|line| !line.starts_with("Columns that do not fit"))
    );
}
