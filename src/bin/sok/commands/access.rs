//! Who may connect: the rules and limits of the options, and reading the rules again.

use std::num::NonZero;
use std::sync::Arc;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use sok::access::{Access, Entry, PeerKind, Rule, RuleSource, Rules};
use sok::address::Target;
use sok::error::Result;
use sok::loops::{Limits, OnHangup, REFUSED_OPEN};
use sok::net::ListenOptions;
use sok::offload::offload;
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::args::AccessArgs;

/// Sets who may connect to `targets`, or whom their PROXY headers may name, in the options of the sockets
/// and in the limits of the loop. Returns the rules to read again at SIGHUP, if they are from a file.
pub(crate) fn set_access(
    args: &AccessArgs,
    targets: &[Target],
    options: &mut ListenOptions,
    limits: &mut Limits,
) -> Result<Option<Reload>> {
    let held = args.rules_file.is_some().then(HeldHangup::hold);
    let first = args.rules.0.iter().map(|(verdict, word)| {
        let rule: Rule = word.parse()?;
        Ok(Entry::new(*verdict, rule))
    });
    let mut source = RuleSource::default();
    source.first = first.collect::<Result<_>>()?;
    source.file.clone_from(&args.rules_file);
    source.kinds = match limits.accept_proxy {
        Some(_) => PeerKind::of_headers().to_vec(),
        None => targets
            .iter()
            .map(|target| kind_of(target, options))
            .collect(),
    };
    let list = source.load()?;
    let most = args.max_per_peer.and_then(|most| {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        NonZero::new(most)
    });
    // A file that is read again may have rules of users later.
    options.take_credentials = list.asks_for_user() || source.file.is_some() || most.is_some();
    let rules = Rules::new(list);
    let access = Access::new(rules.clone(), most);
    if access.may_refuse() || source.file.is_some() {
        options.session_gate = Some(Arc::new(access.clone()));
    }
    options.session_lifetime = args.lifetime;
    limits.access = access;
    limits.accept_timeout = args.accept_timeout;
    Ok(source.file.is_some().then(|| Reload {
        source: Arc::new(source),
        rules,
        held,
    }))
}

/// The peers of `target`. Those of a name are of any family, as its addresses are not known yet.
fn kind_of(target: &Target, options: &ListenOptions) -> PeerKind {
    let v6only = options.v6only && target.as_address().is_some();
    PeerKind::of(target).with_v6only(v6only)
}

/// The descriptors of refused clients, if some may be refused.
pub(crate) fn refused_descriptors(limits: &Limits, reload: Option<&Reload>) -> usize {
    let may_refuse = limits.access.may_refuse() || limits.accept_proxy.is_some();
    match may_refuse || reload.is_some() {
        true => REFUSED_OPEN,
        false => 0,
    }
}

/// Rules that can be read again.
#[derive(Debug)]
pub(crate) struct Reload {
    source: Arc<RuleSource>,
    rules: Rules,
    /// Until SIGHUP is handled.
    held: Option<HeldHangup>,
}

/// Holds back a SIGHUP: it would end the process, which does not handle it yet. On drop it arrives.
#[derive(Debug)]
pub(crate) struct HeldHangup(SigSet);

impl HeldHangup {
    /// Holds it back from this thread, and from those that this one starts.
    fn hold() -> Self {
        let hangup = SigSet::from(Signal::SIGHUP);
        let before = hangup.thread_swap_mask(SigmaskHow::SIG_BLOCK);
        // With its valid arguments it never fails.
        Self(before.unwrap_or_else(|_| SigSet::empty()))
    }
}

impl Drop for HeldHangup {
    fn drop(&mut self) {
        let _ = self.0.thread_set_mask();
    }
}

impl Reload {
    /// What holds back SIGHUP until it is handled.
    pub(crate) const fn take_held(&mut self) -> Option<HeldHangup> {
        self.held.take()
    }

    /// Reads the rules each time that they are `wanted`, on another thread: names are looked up.
    async fn run(self, wanted: Arc<Notify>) {
        loop {
            wanted.notified().await;
            let file = self.source.file.as_deref().unwrap_or_else(|| "".as_ref());
            let source = Arc::clone(&self.source);
            let loaded = offload("rules", file.display(), move || source.load()).await;
            match loaded.flatten() {
                Ok(list) => {
                    let rules = list.entries().len();
                    self.rules.replace(list);
                    info!(file = %file.display(), rules, "rules read again");
                }
                Err(error) => warn!(%error, "the rules stay as they were"),
            }
        }
    }
}

/// What SIGHUP does: what it did without `reload`, and to read the rules again.
pub(crate) fn on_hangup(first: Option<OnHangup>, reload: Option<Reload>) -> Option<OnHangup> {
    let Some(reload) = reload else {
        return first;
    };
    let wanted = Arc::new(Notify::new());
    tokio::spawn(reload.run(Arc::clone(&wanted)));
    Some(Box::new(move || {
        if let Some(first) = &first {
            first();
        }
        wanted.notify_one();
    }))
}
