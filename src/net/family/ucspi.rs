//! What a program is told of the connection that it serves: the variables of UCSPI, and our own.

use std::ffi::OsString;

use crate::address::{Address, UnixName};
use crate::net::{Credentials, Peer};

/// All names that may tell a program who talks: none may be passed on from whoever started us.
/// A few of UCSPI's are never set here.
pub(crate) const EXEC_NAMES: [&str; 19] = [
    "SOK_FAMILY",
    "SOK_LOCAL",
    "SOK_PEER",
    "PROTO",
    "TCPLOCALIP",
    "TCPLOCALPORT",
    "TCPLOCALHOST",
    "TCPREMOTEIP",
    "TCPREMOTEPORT",
    "TCPREMOTEHOST",
    "TCPREMOTEINFO",
    "UNIXLOCALPATH",
    "UNIXLOCALUID",
    "UNIXLOCALGID",
    "UNIXLOCALPID",
    "UNIXREMOTEPATH",
    "UNIXREMOTEPID",
    "UNIXREMOTEEUID",
    "UNIXREMOTEEGID",
];

/// The environment of a program that talks to `peer`: the UCSPI variables, and our own.
///
/// UCSPI names (<https://cr.yp.to/proto/ucspi.txt>): `PROTO`, `TCPREMOTEIP`, `UNIXREMOTEPID` and
/// their kin. `SOK_FAMILY`, `SOK_LOCAL` and `SOK_PEER` are the same on every family.
#[must_use]
pub fn exec_environment(local: &Address, peer: &Peer) -> Vec<(&'static str, OsString)> {
    let mut all: Vec<(&'static str, OsString)> = vec![
        ("SOK_FAMILY", local.family().name().into()),
        ("SOK_LOCAL", local.to_string().into()),
        ("SOK_PEER", peer.address.to_string().into()),
    ];
    match local {
        Address::Inet(_) | Address::Inet6(_) => {
            all.push(("PROTO", "TCP".into()));
            let names = [
                ("TCPLOCALIP", "TCPLOCALPORT"),
                ("TCPREMOTEIP", "TCPREMOTEPORT"),
            ];
            for (end, (ip_name, port_name)) in [local, &peer.address].into_iter().zip(names) {
                if let Some((ip, port)) = end.as_ip() {
                    // A dual-stack listener sees an IPv4 client as ::ffff:a.b.c.d.
                    all.push((ip_name, ip.to_canonical().to_string().into()));
                    all.push((port_name, port.to_string().into()));
                }
            }
        }
        Address::Unix(name) => {
            all.push(("PROTO", "UNIX".into()));
            if let Some(path) = name.as_path() {
                all.push(("UNIXLOCALPATH", path.into()));
            }
            if let Some(path) = peer.address.as_unix().and_then(UnixName::as_path) {
                all.push(("UNIXREMOTEPATH", path.into()));
            }
            if let Some(Credentials { pid, uid, gid }) = peer.credentials {
                all.push(("UNIXREMOTEPID", pid.to_string().into()));
                all.push(("UNIXREMOTEEUID", uid.to_string().into()));
                all.push(("UNIXREMOTEEGID", gid.to_string().into()));
            }
        }
    }
    all
}
