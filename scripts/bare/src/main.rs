//! The plain programs that `scripts/compare` measures `sok` against, and measures it with.
//!
//! Each is simple: it does what a row of the comparison needs with plain system calls.

mod address;
mod bulk;
mod dial;
mod echo;
mod flow;
mod hold;
mod load;
mod pair;
mod race;
mod relay;

use std::io::{self, Write};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "\
bare echo ADDRESS                       a single-threaded epoll loop that echoes; a blocking loop for datagrams
bare call ADDRESS TEXT                  one message, one receive, done
bare load ADDRESS COUNT SECONDS SIZE    COUNT connections, each with one message of SIZE under way
bare dial ADDRESS CLIENTS SECONDS [HEADER]
                                        CLIENTS that connect, send, take the echo and reset, in a loop
bare mirror ADDRESS                     a blocking echo that sockperf takes for its own server
bare pair ADDRESS SECONDS SIZE          round trips by a blocking write and read
bare devour ADDRESS                     a blocking sink
bare pour ADDRESS SECONDS SIZE          messages of SIZE into it by blocking writes
bare flow ADDRESS COUNT SIZE            COUNT numbered messages of SIZE by blocking writes
bare tally ADDRESS                      how many of each flow came, how many in order, in how many seconds
bare hold ADDRESS COUNT                 COUNT connections, one message each, then idle until EOF
bare sink ADDRESS                       a digest of what each connection sends
bare relay ADDRESS TARGET               splices what comes to TARGET, then what comes back
bare source ADDRESS FILE                FILE to each connection
bare push ADDRESS SIZE                  SIZE bytes of noise, then the end; prints their digest
bare exchange ADDRESS SIZE              the same to an echo, while it receives; prints whether all came
bare feed FILE                          FILE into the standard output, a pipe
bare digest                             a digest of the standard input
bare race RUNS STDIN REPLY -- COMMAND... [-- COMMAND...]...
                                        the wall time of each command's process, in turns
ADDRESS is unix:PATH, inet:HOST:PORT or inet6:[HOST]:PORT, the host in numbers; echo and load take
unixpacket:PATH, unixgram:PATH, udp4:HOST:PORT and udp6:[HOST]:PORT too.";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["echo", address] => echo::echo(address),
        ["call", address, text] => echo::call(address, text),
        ["load", address, count, seconds, size] => load::load(address, count, seconds, size),
        ["dial", address, clients, seconds] => dial::dial(address, clients, seconds, ""),
        ["dial", address, clients, seconds, header] => {
            dial::dial(address, clients, seconds, header)
        }
        ["mirror", address] => pair::mirror(address),
        ["pair", address, seconds, size] => pair::pair(address, seconds, size),
        ["devour", address] => pair::devour(address),
        ["pour", address, seconds, size] => pair::pour(address, seconds, size),
        ["hold", address, count] => hold::hold(address, count),
        ["flow", address, count, size] => flow::flow(address, count, size),
        ["tally", address] => flow::tally(address),
        ["sink", address] => bulk::sink(address),
        ["relay", address, target] => relay::relay(address, target),
        ["source", address, file] => bulk::source(address, file),
        ["push", address, size] => bulk::push(address, size),
        ["exchange", address, size] => bulk::exchange(address, size),
        ["feed", file] => bulk::feed(file),
        ["digest"] => bulk::digest(),
        ["race", runs, stdin, reply, "--", commands @ ..] => {
            race::race(runs, stdin, reply, commands)
        }
        _ => Err(USAGE.into()),
    };
    if let Err(error) = done {
        eprintln!("bare: {error}");
        std::process::exit(1);
    }
}

/// Prints one line at once, also into a pipe.
fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}
