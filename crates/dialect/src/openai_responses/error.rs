//! Errors inside a stream. Elsewhere this wire has those of Chat Completions, `{"error":{message, type, param, code}}`.
//!
//! Two events tell of one failure, as OpenAI's service sends them: `error`, of which its SDKs make an exception if it holds
//! an `error` object, and `response.failed`, which agents wait for and the reference tells the last event of a failed
//! stream to be.

use bytes::Bytes;
use serde_json::value::RawValue;
use steelyard_core::{ApiError, RequestId};

use crate::json::Object;
use crate::openai_chat::error;

/// Where in the stream the two events stand is not known here: behind everything that has been said.
const LAST: u64 = i32::MAX as u64;

/// The id of the answer to a request.
pub(crate) fn reply_id(request_id: &RequestId) -> String {
    format!("resp_{}", request_id.uuid().simple())
}

pub(crate) fn event(failure: &ApiError, request_id: &RequestId) -> Bytes {
    let (_, body) = error::body(failure, request_id);
    let code = failure.code.slug();
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(b"event: error\ndata: ");
    Object::write(&mut out, |event| {
        event.field("type", "error");
        event.field("sequence_number", &(LAST - 1));
        event.field("code", code);
        event.field("message", &failure.public);
        event.field("param", &failure.param);
        if let Some(error) = inner(&body) {
            event.field("error", error);
        }
    });
    out.extend_from_slice(b"\n\nevent: response.failed\ndata: ");
    Object::write(&mut out, |event| {
        event.field("type", "response.failed");
        event.field("sequence_number", &LAST);
        event.object("response", |response| {
            response.field("id", &reply_id(request_id));
            response.field("object", "response");
            response.field("status", "failed");
            response.object("error", |error| {
                error.field("code", code);
                error.field("message", &failure.public);
            });
            response.null("incomplete_details");
            response.objects("output", std::iter::empty::<()>(), |_, ()| {});
            response.null("usage");
        });
    });
    out.extend_from_slice(b"\n\n");
    Bytes::from(out)
}

/// The object in which Chat Completions tells an error.
fn inner(body: &[u8]) -> Option<&RawValue> {
    #[derive(serde::Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        error: &'a RawValue,
    }
    serde_json::from_slice::<Envelope<'_>>(body).ok().map(|envelope| envelope.error)
}
