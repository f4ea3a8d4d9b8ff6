//! An HTTP response.

use std::time::SystemTime;

/// The status codes of the responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatusCode {
    Ok,
    BadRequest,
    NotFound,
    OtherMethod,
    TooLarge,
    Unavailable,
    OtherVersion,
}

impl StatusCode {
    /// The number and the reason.
    const fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::OtherMethod => "405 Method Not Allowed",
            Self::TooLarge => "431 Request Header Fields Too Large",
            Self::Unavailable => "503 Service Unavailable",
            Self::OtherVersion => "505 HTTP Version Not Supported",
        }
    }
}

/// What is answered to a request.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) code: StatusCode,
    /// Its media type.
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

impl Page {
    /// A page of text.
    pub(crate) fn text(code: StatusCode, body: &str) -> Self {
        Self {
            code,
            content_type: "text/plain; charset=utf-8",
            body: body.to_owned(),
        }
    }

    /// The page of a request that cannot be answered.
    pub(super) fn refused(code: StatusCode) -> Self {
        Self::text(code, &format!("{}\n", code.line()))
    }

    /// The response, with its body unless only the head is wanted.
    pub(super) fn response(&self, wants_body: bool) -> Vec<u8> {
        let Self {
            code,
            content_type,
            body,
        } = self;
        let allow = match code {
            StatusCode::OtherMethod => "Allow: GET, HEAD\r\n",
            _ => "",
        };
        let (line, date) = (code.line(), httpdate::fmt_http_date(SystemTime::now()));
        let mut response = format!(
            "HTTP/1.1 {line}\r\nDate: {date}\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\n{allow}Cache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
            body.len()
        );
        if wants_body {
            response += body;
        }
        response.into_bytes()
    }
}
