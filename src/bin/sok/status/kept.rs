//! A page that is used again for a while.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The body of a page, which is written again when its time is over.
#[derive(Debug, Default)]
pub(crate) struct KeptPage(Mutex<Option<(Instant, String)>>);

impl KeptPage {
    /// The body; `write` returns a new one, and how long it is used.
    pub(crate) fn body(&self, write: impl FnOnce() -> (String, Duration)) -> String {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some((until, body)) = kept.as_ref()
            && now < *until
        {
            return body.clone();
        }
        let (body, validity) = write();
        *kept = (!validity.is_zero()).then(|| (now + validity, body.clone()));
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_written_again_only_when_its_time_is_over() {
        let page = KeptPage::default();
        let long = Duration::from_secs(3600);
        let body = |text: &str, validity| page.body(|| (text.to_owned(), validity));
        assert_eq!(body("one", Duration::ZERO), "one");
        assert_eq!(body("two", long), "two");
        assert_eq!(body("three", long), "two");
    }
}
