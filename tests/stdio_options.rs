//! Options that mean nothing with, or without, `serve --stdio`.

use crate::support::{Place, sok};

fn assert_refused(place: &Place, options: &[&str], parts: &[&str]) {
    let word = place.word();
    let done = sok(&[&["serve", &*word], options].concat());
    assert_eq!(
        (done.code, &*done.text()),
        (2, ""),
        "{options:?}: {}",
        done.stderr
    );
    assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    for part in parts {
        assert!(done.stderr.contains(part), "{part:?}: {}", done.stderr);
    }
    assert_eq!(place.listing(), Vec::<String>::new());
}

forms!(another_service_is_refused_with_stdio, |place| {
    for service in [
        &["--echo"][..],
        &["--suffix", "x"],
        &["--discard"],
        &["--send", "/dev/null"],
    ] {
        let options = [&["--stdio"], service].concat();
        let cause = format!("{} and --stdio cannot be used together", service[0]);
        assert_refused(place, &options, &[&cause]);
    }
    assert_refused(
        place,
        &["--stdio", "--exec", "cat"],
        &["--exec and --stdio cannot be used together"],
    );
});

forms!(a_limit_without_meaning_is_refused_with_stdio, |place| {
    for limit in [
        &["--max-connections", "5"][..],
        &["--threads", "2"],
        &["--max-memory", "1MiB"],
    ] {
        let options = [&["--stdio"], limit].concat();
        let cause = format!("{} means nothing with --stdio", limit[0]);
        assert_refused(place, &options, &[&cause]);
    }
    let options = ["--stdio", "--exit-after", "2"];
    assert_refused(place, &options, &["--exit-after", "--keep-open"]);
    let options = ["--stdio", "--once", "--keep-open"];
    assert_refused(place, &options, &["--once and --keep-open"]);
    let options = ["--stdio", "--keep-open", "--prompt", "> "];
    assert_refused(place, &options, &["--prompt", "--keep-open"]);
    assert_refused(
        place,
        &["--stdio", "--forbid", "x"],
        &["--forbid needs a conversation"],
    );
});

forms!(contradictory_ways_are_refused, |place| {
    for options in [
        &["--send-only", "--receive-only"][..],
        &["--send-only", "--no-half-close"],
        &["--send-only", "--prompt", "> "],
        &["--send-only", "--raw"],
        &["--receive-only", "--keep-sending"],
        &["--receive-only", "--prompt", "> "],
    ] {
        let options = [&["--stdio"], options].concat();
        assert_refused(place, &options, &["cannot be used with", options[1]]);
        let word = place.word();
        let connect = [&["connect", &*word], &options[1..]].concat();
        let done = sok(&connect);
        assert_eq!(done.code, 2, "{}", done.stderr);
        assert!(
            done.stderr.contains("cannot be used with"),
            "{}",
            done.stderr
        );
    }
});

forms!(options_of_the_exchange_need_stdio, |place| {
    for option in [
        &["--send-only"][..],
        &["--receive-only"],
        &["--no-half-close"],
        &["--keep-sending"],
        &["--prompt", "> "],
        &["--forbid", "x"],
        &["--raw"],
    ] {
        let cause = format!("{} needs --stdio", option[0]);
        assert_refused(place, option, &[&cause]);
    }
    assert_refused(place, &["--keep-open"], &["--stdio"]);
});

forms!(the_framing_of_stdio_is_that_of_its_messages, |place| {
    if place.keeps_messages() {
        let options = ["--stdio", "--framing", "chunk"];
        assert_refused(
            place,
            &options,
            &["--framing chunk", "give --framing line, null or length"],
        );
    } else {
        for option in [&["--framing", "line"][..], &["--max-message", "1KiB"]] {
            let options = [&["--stdio"], option].concat();
            let cause = format!("{} means nothing here", option[0]);
            assert_refused(place, &options, &[&cause]);
        }
    }
});
