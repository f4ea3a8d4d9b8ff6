//! `sok relay --dump`: the traffic is dumped, and a slow reader of the dump delays no connection.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::support::{Log, Place, RawStream, Server, assert_same, noise, sok, sok_without_rights};

/// A named pipe for a dump, open so that it can be written to.
fn named_pipe(place: &Place) -> (PathBuf, File) {
    let path = place.path("dump");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let reader = File::options().read(true).write(true).open(&path);
    (path, reader.unwrap())
}

/// The bytes that a dump in hexadecimal shows, of those that came from the client.
fn shown(dump: &str) -> Vec<u8> {
    let lines = dump.lines().filter_map(|line| line.strip_prefix("> "));
    let digits = lines.flat_map(|line| line["00000000  ".len()..][..48].split_whitespace());
    digits
        .map(|digits| u8::from_str_radix(digits, 16).unwrap())
        .collect()
}

families!(
    a_dump_shows_both_directions_with_their_connection,
    |place| {
        let echo = Server::start(place, &["--suffix", "!"]);
        let relay = Server::relay(place, echo.address(), &["--dump", "text"]);
        relay.stderr().wait_for("copied");
        assert_eq!(
            RawStream::connect(relay.address()).exchange(b"hello"),
            b"hello!"
        );
        let shown = relay.stderr().wait_for("< hello!\n");
        for piece in [
            "connection=1 > 5 bytes\n> hello\n",
            "connection=1 < 6 bytes\n",
        ] {
            assert!(shown.contains(piece), "{shown}");
        }
    }
);

families!(a_dump_into_a_file_is_hexadecimal, |place| {
    let echo = Server::start(place, &[]);
    let file = place.path("dump");
    let options = ["--dump", file.to_str().unwrap(), "--once"];
    let relay = Server::relay(place, echo.address(), &options);
    assert_eq!(
        RawStream::connect(relay.address()).exchange(b"hello"),
        b"hello"
    );
    assert_eq!(relay.wait(), 0);
    let shown = fs::read_to_string(&file).unwrap();
    assert!(shown.contains("> 00000000  68 65 6c 6c 6f"), "{shown}");
    assert!(shown.contains("< 00000000  68 65 6c 6c 6f"), "{shown}");
});

families!(
    a_relay_that_cannot_start_leaves_the_dump_as_it_was,
    |place| {
        let taken = Server::start(place, &[]);
        let file = place.file("dump", "what was shown before\n");
        let options = ["--dump", file.to_str().unwrap(), "--once"];
        let second = sok(&[&["relay", taken.address(), "unix:@nobody"], &options[..]].concat());
        assert_eq!(second.code, 5, "{}", second.stderr);
        let echo = Server::start(place, &[]);
        let relay = Server::relay(place, echo.address(), &options);
        assert_eq!(RawStream::connect(relay.address()).exchange(b"a"), b"a");
        assert_eq!(relay.wait(), 0);
        let shown = fs::read_to_string(&file).unwrap();
        assert!(shown.starts_with("what was shown before\n"), "{shown}");
        assert!(shown.contains("> 00000000  61"), "{shown}");
    }
);

families!(a_new_dump_is_readable_only_by_its_owner, |place| {
    let file = place.path("dump");
    let options = ["--dump", file.to_str().unwrap()];
    let _relay = Server::relay(place, "unix:@nobody", &options);
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
});

families!(
    a_dump_that_cannot_be_written_is_reported_once_and_at_the_end,
    |place| {
        let echo = Server::start(place, &[]);
        let options = ["--dump", "/dev/full", "--once"];
        let relay = Server::relay(place, echo.address(), &options);
        let mut client = RawStream::connect(relay.address());
        for _ in 0..3 {
            client.send(b"hello");
            assert_eq!(client.take(5), b"hello");
        }
        drop(client);
        assert_eq!(relay.wait(), 0);
        let said = relay.said();
        let reports: Vec<&str> = said.lines().filter(|l| l.contains("/dev/full")).collect();
        assert_eq!(reports.len(), 2, "{said}");
        assert!(reports[0].contains("No space left"), "{said}");
        assert!(reports[1].contains("pieces=6 bytes=30"), "{said}");
    }
);

families!(a_dump_that_is_read_late_is_complete, |place| {
    let echo = Server::start(place, &[]);
    let (path, reader) = named_pipe(place);
    let options = ["--dump", path.to_str().unwrap(), "--once"];
    let relay = Server::relay(place, echo.address(), &options);
    // Shown it is more than a pipe holds, many times over.
    let bytes = noise(200_000);
    let mut client = RawStream::connect(relay.address());
    for piece in bytes.chunks(50_000) {
        client.send(piece);
        assert_same(&client.take(piece.len()), piece);
    }
    // What comes back is shown after what went there.
    let back = |dump: &str| dump.lines().filter(|line| line.starts_with("< ")).count();
    let dump = Log::of(reader).wait_until("the dump", |dump| back(dump) >= bytes.len() / 16);
    assert_same(&shown(&dump), &bytes);
    client.finish();
    assert_eq!(relay.wait(), 0);
    assert!(!relay.said().contains("left out"), "{}", relay.said());
});

families!(a_dump_without_a_reader_is_left_out_and_counted, |place| {
    let echo = Server::start(place, &["--discard"]);
    let (path, reader) = named_pipe(place);
    let relay = Server::relay(place, echo.address(), &["--dump", path.to_str().unwrap()]);
    let bytes = noise(1 << 20);
    let mut client = RawStream::connect(relay.address());
    for _ in 0..24 {
        client.send(&bytes);
    }
    client.finish();
    assert_eq!(client.rest(), b"");
    relay.stderr().wait_for("traffic is left out");
    relay.terminate();
    assert_eq!(relay.wait(), 0);
    let said = relay.said();
    let end = said
        .lines()
        .find(|line| line.contains("incomplete"))
        .unwrap();
    let left_out = end.rsplit_once("bytes=").unwrap().1;
    let left_out: usize = left_out.split(' ').next().unwrap().parse().unwrap();
    // All but what the pipe took.
    assert!((24 << 20) - left_out < 100_000, "{said}");
    drop(reader);
});

families!(sighup_reopens_the_file_of_a_dump, |place| {
    let echo = Server::start(place, &[]);
    let (file, rotated) = (place.path("dump"), place.path("dump.1"));
    let options = ["--dump", file.to_str().unwrap(), "-v"];
    let relay = Server::relay(place, echo.address(), &options);
    let mut client = RawStream::connect(relay.address());
    client.send(b"before");
    assert_eq!(client.take(6), b"before");
    fs::rename(&file, &rotated).unwrap();
    relay.signal(Signal::SIGHUP);
    relay.stderr().wait_for("reopened");
    client.send(b"after");
    assert_eq!(client.take(5), b"after");
    client.finish();
    relay.terminate();
    assert_eq!(relay.wait(), 0);
    for (file, bytes) in [(rotated, "before"), (file, "after")] {
        assert_eq!(shown(&fs::read_to_string(file).unwrap()), bytes.as_bytes());
    }
});

families!(a_dump_that_cannot_be_opened_gets_a_hint, |place| {
    let directory = place.directory().to_str().unwrap();
    let done = sok(&["relay", &place.word(), "@nobody", "--dump", directory]);
    assert_eq!(done.code, 1, "{}", done.stderr);
    for part in [directory, "give --dump a writable file"] {
        assert!(done.stderr.contains(part), "{}", done.stderr);
    }
});

families!(a_dump_without_write_permission_exits_with_4, |place| {
    let file = place.file("dump", "");
    let rights = |mode| Permissions::from_mode(mode);
    fs::set_permissions(&file, rights(0o400)).unwrap();
    let shown = file.to_str().unwrap();
    let words = ["relay", &place.word(), "@nobody", "--dump", shown];
    let done = sok_without_rights(place, &words);
    assert_eq!(done.code, 4, "{}", done.stderr);
    assert!(done.stderr.contains(shown), "{}", done.stderr);
});

families!(a_dump_among_json_needs_a_file, |place| {
    let word = place.word();
    for style in ["hex", "text"] {
        let done = sok(&["relay", &word, "unix:@nobody", "--json", "--dump", style]);
        assert_eq!(done.code, 2, "{}", done.stderr);
        assert!(done.stderr.contains("FILE"), "{}", done.stderr);
    }
});
