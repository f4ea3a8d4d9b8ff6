//! What the families of this host support, and which server listens on an address: everything is
//! tried, not looked up. Nothing here prints.

mod address;
mod basics;
mod host;
mod listener;
mod local;
mod messages;
mod network;
mod report;
mod scene;

pub(crate) use self::address::{AddressReport, TargetReport, check_address};
pub(crate) use self::host::check_host;
pub(crate) use self::report::{Cell, Column, HostReport, Verdict};
