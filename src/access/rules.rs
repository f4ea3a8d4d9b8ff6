//! The rules in force, which a reload replaces.

use std::sync::{Arc, PoisonError, RwLock};

use super::list::RuleList;

/// The rules in force; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Rules(Arc<RwLock<Arc<RuleList>>>);

impl Rules {
    /// Begins with `list`.
    #[must_use]
    pub fn new(list: RuleList) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(list))))
    }

    /// The rules now.
    #[must_use]
    pub fn list(&self) -> Arc<RuleList> {
        let list = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&list)
    }

    /// Decides by `list` from now on; connections that are open stay.
    pub fn replace(&self, list: RuleList) {
        let mut own = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *own, Arc::new(list));
        // A long list is freed after the lock.
        drop(own);
        drop(before);
    }
}
