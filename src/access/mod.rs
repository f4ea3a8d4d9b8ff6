//! Who may connect: rules by address, user and group, and a limit for each peer.
//!
//! ```
//! use std::num::NonZero;
//!
//! use sok::access::{Access, Entry, RuleList, Rules, Verdict};
//! use sok::net::Peer;
//!
//! let own = Entry::new(Verdict::Allow, "127.0.0.0/8".parse()?);
//! let rules = Rules::new(RuleList::new(vec![own]));
//! let access = Access::new(rules, NonZero::new(1));
//!
//! let peer = Peer::new("inet:127.0.0.1:4000".parse()?);
//! let no_groups = || Ok(Vec::new());
//! let admitted = access.admit(&peer, no_groups).expect("it is the first");
//! let refused = access.admit(&peer, no_groups).unwrap_err();
//! assert_eq!(refused.to_string(), "127.0.0.1 has 1 open connection");
//! drop(admitted);
//! assert!(access.admit(&peer, no_groups).is_ok());
//! # Ok::<(), sok::Error>(())
//! ```

mod admit;
mod entry;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod kind;
mod list;
mod places;
mod prefix;
mod ranges;
mod refusal;
mod rule;
mod rules;
mod source;

pub use self::admit::{Access, Admitted};
pub use self::entry::{Entry, Verdict};
#[cfg(any(test, fuzzing))]
pub(crate) use self::fuzz::fuzz as fuzz_rules;
pub use self::kind::PeerKind;
pub use self::list::RuleList;
pub use self::prefix::Prefix;
pub use self::refusal::Refusal;
pub use self::rule::Rule;
pub use self::rules::Rules;
pub use self::source::RuleSource;
