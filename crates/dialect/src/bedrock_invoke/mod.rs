//! Amazon Bedrock's `InvokeModel` and `InvokeModelWithResponseStream` (`POST /model/{modelId}/invoke`,
//! `…/invoke-with-response-stream`) with Anthropic's bodies, as Anthropic's own Bedrock clients write them, after the
//! service model `bedrock-runtime` 2023-09-30 and the user guide ("Anthropic Claude Messages API").
//!
//! The wire is put together from two others: what a body says is [`anthropic`](crate::anthropic)'s, what carries it is
//! [`bedrock`](crate::bedrock)'s. The body must say its version (`anthropic_version`) and must not name a model or a
//! stream, which the path does. A stream is [`event_stream`](crate::event_stream) frames, each a `chunk` with one of
//! Anthropic's events in base64.
//!
//! | file | work |
//! |---|---|
//! | `request` | what is Bedrock's in a request, both ways |
//! | `stream` | streamed answers, both ways; the ends with the figures that Bedrock adds |
//! | `facts` | what the ledger reads of an answer that is only relayed, and the headers of one |

pub(crate) mod facts;
pub(crate) mod request;
pub mod stream;
