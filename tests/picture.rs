//! The pictures of the documents.

use std::path::Path;
use std::process::Command;

use crate::support::{Kind, Place, Process, have, require_peer, required};

#[test]
fn the_picture_of_a_session_is_what_the_program_shows() {
    if !(require_peer("unshare") && require_peer("python3") && require_peer("ip")) {
        return;
    }
    let mut probe = Command::new("unshare");
    let probe = probe.args(["--map-root-user", "--net", "true"]).status();
    let may = probe.is_ok_and(|status| status.success());
    if !(have(Kind::Inet6) && required("network namespaces", may)) {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = Place::new(Kind::Unix);
    let mut script = Command::new(root.join("scripts/picture"));
    let done = script.arg(Process::PROGRAM).arg(place.directory()).output();
    let done = done.unwrap();
    assert!(done.status.success(), "{done:?}");
    for name in ["session-light.svg", "session-dark.svg"] {
        let drawn = std::fs::read_to_string(place.path(name)).unwrap();
        let kept = std::fs::read_to_string(root.join("docs").join(name)).unwrap();
        assert_eq!(
            drawn, kept,
            "run scripts/picture: docs/{name} is out of date"
        );
    }
}
