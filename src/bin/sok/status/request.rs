//! The head of an HTTP request, see RFC 9112.

use httparse::{EMPTY_HEADER, Error, Status};

use super::response::StatusCode;

/// The largest head of a request, in bytes.
pub(crate) const HEAD_MAX: usize = 8 * 1024;
/// The most header fields.
const FIELDS_MAX: usize = 64;

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head<'a> {
    /// The beginning of a request.
    Incomplete,
    Request(Request<'a>),
    /// No request that can be answered.
    Refused(StatusCode),
}

/// A request for a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    /// The path, without a query.
    pub(crate) path: &'a str,
    /// Whether the page itself is wanted: GET, not HEAD.
    pub(crate) wants_body: bool,
}

/// Reads the head of a request from the start of `bytes`, at most [`HEAD_MAX`].
pub(crate) fn head(bytes: &[u8]) -> Head<'_> {
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(Status::Complete(_)) => checked(&request).map_or_else(Head::Refused, Head::Request),
        Ok(Status::Partial) if bytes.len() < HEAD_MAX => Head::Incomplete,
        Ok(Status::Partial) | Err(Error::TooManyHeaders) => Head::Refused(StatusCode::TooLarge),
        Err(Error::Version) => Head::Refused(StatusCode::OtherVersion),
        Err(_) => Head::Refused(StatusCode::BadRequest),
    }
}

fn checked<'a>(request: &httparse::Request<'_, 'a>) -> Result<Request<'a>, StatusCode> {
    let is_host = |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case("host");
    let hosts = request.headers.iter().filter(is_host).count();
    // RFC 9112, section 3.2: with HTTP/1.1 there is exactly one.
    if hosts > 1 || (hosts == 0 && request.version == Some(1)) {
        return Err(StatusCode::BadRequest);
    }
    let wants_body = match request.method {
        Some("GET") => true,
        Some("HEAD") => false,
        _ => return Err(StatusCode::OtherMethod),
    };
    let path = path(request.path.unwrap_or_default());
    Ok(Request { path, wants_body })
}

/// The path of a request target: it may be a whole URI, see section 3.2.2.
fn path(target: &str) -> &str {
    const SCHEME: &str = "http://";
    let path = match target.split_at_checked(SCHEME.len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            match &rest[end..] {
                "" => "/",
                path => path,
            }
        }
        _ => target,
    };
    match path.split_once('?') {
        Some(("", _)) => "/",
        Some((path, _)) => path,
        None => path,
    }
}

/// Reads any bytes: how they are divided into receives changes nothing. See `fuzzing.rs`.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let all = &bytes[..bytes.len().min(HEAD_MAX)];
    let in_pieces = (1..=all.len()).map(|end| head(&all[..end]));
    let first = in_pieces.into_iter().find(|one| *one != Head::Incomplete);
    let whole = head(all);
    match first {
        // What is refused as a whole may have been refused before its end.
        Some(Head::Refused(_)) => assert!(matches!(whole, Head::Refused(_)), "{whole:?}"),
        Some(request) => assert_eq!(request, whole),
        None => assert_eq!(whole, head(&[])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Head<'_> {
        Head::Request(Request {
            path,
            wants_body: true,
        })
    }

    #[test]
    fn the_path_of_a_request_is_found_in_each_form() {
        for (target, path) in [
            ("/", "/"),
            ("/metrics", "/metrics"),
            ("/metrics?name=x?y", "/metrics"),
            ("http://host", "/"),
            ("http://host?query", "/"),
            ("HTTP://host:9100/metrics?x", "/metrics"),
            ("*", "*"),
            ("//metrics", "//metrics"),
        ] {
            let text = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
            assert_eq!(head(text.as_bytes()), get(path), "{target}");
        }
    }

    #[test]
    fn a_head_is_refused_for_what_is_wrong_with_it() {
        use StatusCode as S;
        for (text, code) in [
            ("GET / HTTP/1.1\r\n\r\n", S::BadRequest),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                S::BadRequest,
            ),
            (
                "GET / HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n",
                S::BadRequest,
            ),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", S::BadRequest),
            (
                "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
                S::BadRequest,
            ),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", S::BadRequest),
            ("\x16\x03\x01\x02\x00\x01", S::BadRequest),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", S::OtherVersion),
            ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", S::OtherMethod),
            ("get / HTTP/1.1\r\nHost: a\r\n\r\n", S::OtherMethod),
            ("OPTIONS * HTTP/1.0\r\n\r\n", S::OtherMethod),
        ] {
            assert_eq!(head(text.as_bytes()), Head::Refused(code), "{text:?}");
        }
        let many = "a: b\r\n".repeat(FIELDS_MAX + 1);
        let many = format!("GET / HTTP/1.0\r\n{many}\r\n");
        assert_eq!(head(many.as_bytes()), Head::Refused(S::TooLarge));
        let large = format!("GET /{} HTTP/1.0\r\n", "x".repeat(HEAD_MAX));
        let large = &large.as_bytes()[..HEAD_MAX];
        assert_eq!(head(large), Head::Refused(S::TooLarge));
        assert_eq!(head(&large[1..]), Head::Incomplete);
    }

    #[test]
    fn how_a_request_is_divided_changes_nothing() {
        for text in [
            "",
            "\r\nGET / HTTP/1.0\r\n\r\n",
            "HEAD /healthz HTTP/1.1\nHost: x\n\nGET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\n",
        ] {
            fuzz(text.as_bytes());
        }
    }
}
