//! Misdeeds of an upstream that need no completion to go wrong in.

use super::reply::{Reply, Step, head, status};
use super::wire::Wire;

/// Takes the request and closes the connection.
pub fn close_before_head() -> Reply {
    vec![Step::Close].into()
}

/// Takes the request and resets the connection.
pub fn reset_before_head() -> Reply {
    vec![Step::Reset].into()
}

/// Closes in the middle of the response head.
pub fn close_in_head() -> Reply {
    vec![Step::write("HTTP/1.1 200 OK\r\ncontent-type: applic"), Step::Close].into()
}

/// Announces 4096 bytes of JSON, sends a few and closes.
pub fn close_in_body() -> Reply {
    let head = head(Wire::OpenAi, 200, &[("content-type", "application/json"), ("content-length", "4096")]);
    vec![Step::Write(head), Step::write(r#"{"id":"chatcmpl-1","object":"chat.comp"#), Step::Close].into()
}

/// Sends `body` in the chunked transfer encoding and closes without the last chunk.
pub fn unterminated(body: &str) -> Reply {
    let head =
        head(Wire::OpenAi, 200, &[("content-type", "application/json"), ("transfer-encoding", "chunked")]);
    vec![Step::Write(head), Step::write(format!("{:x}\r\n{body}\r\n", body.len())), Step::Close].into()
}

/// Takes the request and never answers.
pub fn hang_before_head() -> Reply {
    vec![Step::Hang].into()
}

/// Sends a head and a few bytes of a whole answer, and nothing more.
pub fn hang_in_body() -> Reply {
    let head = head(Wire::OpenAi, 200, &[("content-type", "application/json"), ("content-length", "4096")]);
    vec![Step::Write(head), Step::write(r#"{"id":"chatcmpl-1","object":"chat.comp"#), Step::Hang].into()
}

/// Sends `body` in the chunked transfer encoding, and then nothing more.
pub fn hang_after(status: u16, body: &str) -> Reply {
    let headers = [("content-type", "application/json"), ("transfer-encoding", "chunked")];
    let head = head(Wire::OpenAi, status, &headers);
    vec![Step::Write(head), Step::write(format!("{:x}\r\n{body}\r\n", body.len())), Step::Hang].into()
}

/// Begins a stream with a sign of life, and sends nothing more.
pub fn hang_after_comment() -> Reply {
    let headers = [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")];
    let head = head(Wire::OpenAi, 200, &headers);
    vec![Step::Write(head), Step::write("8\r\n: ping\n\n\r\n"), Step::Hang].into()
}

/// Answers in no known protocol.
pub fn garbage() -> Reply {
    vec![Step::write("SSH-2.0-OpenSSH_9.6\r\n\x00\x01\x02\x7f"), Step::Close].into()
}

/// A web page with status 200, as a captive portal or a wrong `base_url` gives.
pub fn html() -> Reply {
    status(200).body("text/html", "<!doctype html><title>Welcome</title><h1>It works!</h1>").into()
}

/// Status 200 and `application/json`, but the body is cut JSON.
pub fn invalid_json() -> Reply {
    status(200).body("application/json", r#"{"id":"chatcmpl-1","choices":[{"index":0,"#).into()
}
