//! No body makes the peek, the splice or the decoders panic.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use steelyard_dialect::{Dialect, embeddings_usage, openai_embeddings, peek_embeddings, relay_body};

fuzz_target!(|body: &[u8]| {
    let dialect = Dialect::OpenAiChat;
    if let Ok(peek) = dialect.peek(body) {
        let whole = Bytes::copy_from_slice(body);
        let relayed = relay_body(&whole, peek.model_at.clone(), "other \"model\"", peek.inject_usage());
        let again = dialect.peek(&relayed).expect("a spliced body is still a request");
        assert_eq!(again.model, "other \"model\"");
        assert!(!again.stream || again.include_usage);
        assert_eq!((again.output_cap, again.choices), (peek.output_cap, peek.choices));
    }
    if let Ok(request) = dialect.decode_request(body) {
        let (encoded, _) = dialect.encode_request(&request);
        let again = dialect.decode_request(&encoded).expect("what was decoded can be encoded");
        assert_eq!(dialect.encode_request(&again).0, encoded, "one pass evens out all there is to even out");
    }
    let _ = dialect.decode_response(body);
    let _ = dialect.usage_of_reply(body);
    let _ = peek_embeddings(body);
    let _ = openai_embeddings::decode_request(body);
    let _ = embeddings_usage(body);
});
