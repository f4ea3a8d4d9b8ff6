//! Where splice(2) or the pipe for it is refused, as in some sandboxes, a stream is copied.

use crate::support::{Kind, Place, Server, assert_same, can_inject, noise, run, sok_with_fault};

/// Sends a stream both ways through a relay whose calls fail as `injection` says.
fn assert_passes_whole(near: &Place, far: &Place, injection: &str) {
    let bytes = noise(4 << 20);
    let echo = Server::start(far, &[]);
    let word = near.word();
    let arguments = ["relay", &word, echo.address(), "--once", "--threads", "1"];
    let relay = Server::of(sok_with_fault(injection, &arguments));
    let got = crate::support::RawStream::connect(relay.address()).exchange(&bytes);
    assert_same(&got, &bytes);
    assert_eq!(relay.wait(), 0, "{injection}: {}", relay.said());
}

families!(a_stream_arrives_complete_without_splice, |near| {
    if can_inject() {
        for (kind, error) in Kind::ALL
            .into_iter()
            .zip(["EPERM", "ENOSYS", "EINVAL", "EACCES"])
        {
            run(kind, |far| {
                assert_passes_whole(near, far, &format!("splice:error={error}"));
            });
        }
    }
});

families!(
    a_stream_arrives_complete_if_splice_is_refused_later,
    |near| {
        if can_inject() {
            // Among these calls are some that take bytes into the pipe, and some that find it full.
            for (kind, first) in Kind::ALL.into_iter().cycle().zip(2..=7) {
                run(kind, |far| {
                    assert_passes_whole(near, far, &format!("splice:error=EPERM:when={first}+"));
                });
            }
        }
    }
);

families!(a_stream_arrives_complete_without_a_pipe, |near| {
    if can_inject() {
        assert_passes_whole(near, near, "pipe2:error=EPERM");
    }
});
