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

/// Whether `bytes` begin a request for a head only: a response to it has no body, also if it is refused.
pub(crate) fn wants_head(bytes: &[u8]) -> bool {
    // Empty lines before a request are ignored, see RFC 9112, section 2.2.
    let blank = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let start = bytes.iter().position(|byte| !blank(byte));
    start.is_some_and(|start| bytes[start..].starts_with(b"HEAD "))
}

fn checked<'a>(request: &httparse::Request<'_, 'a>) -> Result<Request<'a>, StatusCode> {
    let hosts = request.headers.iter();
    let mut hosts = hosts.filter(|field| field.name.eq_ignore_ascii_case("host"));
    // RFC 9112, section 3.2: with HTTP/1.1 there is exactly one, and it is a host.
    let is_valid = match (hosts.next(), hosts.next()) {
        (None, _) => request.version == Some(0),
        (Some(host), None) => is_authority(host.value),
        (Some(_), Some(_)) => false,
    };
    if !is_valid {
        return Err(StatusCode::BadRequest);
    }
    let wants_body = match request.method {
        Some("GET") => true,
        Some("HEAD") => false,
        _ => return Err(StatusCode::OtherMethod),
    };
    let path = path(request.path.unwrap_or_default());
    let path = path.ok_or(StatusCode::BadRequest)?;
    Ok(Request { path, wants_body })
}

/// The path of a request target: it begins with a slash, or is that of a whole URI with a host; see
/// sections 3.2.1 and 3.2.2.
fn path(target: &str) -> Option<&str> {
    const SCHEME: &str = "http://";
    let (is_uri, path) = match target.split_at_checked(SCHEME.len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (host, path) = rest.split_at(end);
            if host.starts_with(':') || host.is_empty() || !is_authority(host.as_bytes()) {
                return None;
            }
            (true, path)
        }
        _ => (false, target),
    };
    match path.split('?').next() {
        Some("") if is_uri => Some("/"),
        path => path.filter(|path| path.starts_with('/')),
    }
}

/// Whether these are the characters of a host and its port, as in RFC 3986, section 3.2: a name, an
/// address or nothing, without the user that may precede them in other URIs.
fn is_authority(bytes: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(byte);
    let is_of_literal = |byte: &u8| is_part(byte) || *byte == b':';
    let (is_host, port) = match bytes.strip_prefix(b"[") {
        Some(rest) => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else {
                return false;
            };
            let (host, rest) = rest.split_at(end);
            (
                !host.is_empty() && host.iter().all(is_of_literal),
                &rest[1..],
            )
        }
        None => {
            let end = bytes.iter().position(|byte| *byte == b':');
            let (host, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            (host.iter().all(is_part), rest)
        }
    };
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_host && is_port
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
        Some(request) => {
            assert!(matches!(&request, Head::Request(found) if found.path.starts_with('/')));
            assert_eq!(request, whole);
        }
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
            ("http://[::1]:9100?x/y", "/"),
            ("//metrics", "//metrics"),
        ] {
            let text = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
            assert_eq!(head(text.as_bytes()), get(path), "{target}");
        }
    }

    #[test]
    fn a_target_that_is_neither_a_path_nor_a_uri_with_a_host_is_refused() {
        for target in [
            "*",
            "metrics",
            "?query",
            "host:80",
            "http://",
            "http:///metrics",
            "http://?query",
            "http://:80/metrics",
            "http://user@host/metrics",
            "http://[::1/metrics",
            "https://host/metrics",
        ] {
            let text = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
            let refused = Head::Refused(StatusCode::BadRequest);
            assert_eq!(head(text.as_bytes()), refused, "{target}");
        }
    }

    #[test]
    fn a_host_that_cannot_be_one_is_refused() {
        let with = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        for host in [
            "",
            "a",
            "a.b:",
            "a:80",
            ":80",
            "10.0.0.1:80",
            "[::1]",
            "[::1]:80",
            "[v1.a:b]",
            "a%20b",
            "_x~",
        ] {
            assert_eq!(head(with(host).as_bytes()), get("/"), "{host}");
        }
        for host in [
            "a b", "a/b", "a?b", "a#b", "a@b", "a:b", "a:80:80", "[::1", "[]", "[a/b]", "::1",
            "[::1]x", "a\\b", "\u{e4}", "a\tb", "[::1]:8x", "a]",
        ] {
            let refused = Head::Refused(StatusCode::BadRequest);
            assert_eq!(head(with(host).as_bytes()), refused, "{host}");
        }
    }

    #[test]
    fn a_request_for_a_head_is_known_also_if_it_is_no_request() {
        for text in ["HEAD / HTTP/1.1\r\n\r\n", "\r\n\nHEAD \0"] {
            assert!(wants_head(text.as_bytes()), "{text:?}");
        }
        for text in [
            "",
            "\r\n",
            "HEAD",
            "head / HTTP/1.0",
            "GET /HEAD HTTP/1.0",
            " HEAD ",
        ] {
            assert!(!wants_head(text.as_bytes()), "{text:?}");
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
