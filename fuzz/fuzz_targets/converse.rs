//! No body makes Bedrock's peek or its decoders panic, and what was decoded can be encoded for every wire.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steelyard_dialect::{Dialect, Outside, Target};

fuzz_target!(|body: &[u8]| {
    let dialect = Dialect::BedrockConverse;
    let outside = Outside { model: Some("m"), stream: true, version: None };
    let _ = dialect.peek(body, &outside);
    if let Ok(request) = dialect.decode_request(body, &outside) {
        for model in ["anthropic.claude-opus-4-6-v1", "amazon.nova-pro-v1:0"] {
            let target = Target { model, max_output: Some(4096), compatible: false };
            let (encoded, _) = dialect.encode_request(&request, &target);
            // A conversation may be nothing but blank texts, of which nothing is left.
            if let Ok(again) = dialect.decode_request(&encoded, &outside) {
                assert_eq!(dialect.encode_request(&again, &target).0, encoded, "one pass evens out all there is");
            }
            let _ = Dialect::OpenAiChat.encode_request(&request, &target);
            let _ = Dialect::AnthropicMessages.encode_request(&request, &target);
        }
    }
    let _ = dialect.decode_response(body);
    let _ = dialect.usage_of_reply(body);
    let _ = dialect.vendor_fault(body);
});
