use std::time::Duration;

use http::HeaderValue;

use super::*;

fn built(fields: &str) -> Result<Azure, String> {
    crate::install_tls_provider();
    let spec = toml::from_str(&format!("name = \"a\"\nprovider = \"azure\"\n{fields}")).unwrap();
    Azure::build(&spec, &Secrets::default()).map_err(|error| error.to_string())
}

async fn address(fields: &str, endpoint: Endpoint, model: &str) -> String {
    let headers = HeaderMap::new();
    let wire = Dialect::OpenAiChat;
    let outgoing = Outgoing { endpoint, wire, model, stream: false, headers: &headers, body: Bytes::new() };
    built(fields).unwrap().request(outgoing, Timestamp(0)).await.unwrap().uri().to_string()
}

#[tokio::test]
async fn responses_are_asked_for_at_the_newer_surface_alone() {
    let headers = HeaderMap::new();
    let wire = Dialect::OpenAiResponses;
    let outgoing = || {
        let endpoint = Endpoint::Chat;
        Outgoing { endpoint, wire, model: "m", stream: false, headers: &headers, body: Bytes::new() }
    };
    let azure = built(RESOURCE).unwrap();
    assert!(azure.speaks_responses());
    let uri = azure.request(outgoing(), Timestamp(0)).await.unwrap().uri().to_string();
    assert_eq!(uri, "https://hansa.openai.azure.com/openai/v1/responses");
    assert!(!built(&format!("{RESOURCE}\napi_version = \"2024-10-21\"")).unwrap().speaks_responses());
}

const RESOURCE: &str = "base_url = \"https://hansa.openai.azure.com\"";

#[tokio::test]
async fn the_api_version_decides_where_a_deployment_is_called() {
    let cases = [
        ("", Endpoint::Chat, "/openai/v1/chat/completions"),
        ("", Endpoint::Embeddings, "/openai/v1/embeddings"),
        ("preview", Endpoint::Chat, "/openai/v1/chat/completions?api-version=preview"),
        (
            "2024-10-21",
            Endpoint::Chat,
            "/openai/deployments/My.gpt-4_o/chat/completions?api-version=2024-10-21",
        ),
        (
            "2025-04-01-preview",
            Endpoint::Embeddings,
            "/openai/deployments/My.gpt-4_o/embeddings?api-version=2025-04-01-preview",
        ),
    ];
    for (version, endpoint, path) in cases {
        let version =
            if version.is_empty() { String::new() } else { format!("\napi_version = \"{version}\"") };
        let shown = address(&format!("{RESOURCE}{version}"), endpoint, "My.gpt-4_o").await;
        assert_eq!(shown, format!("https://hansa.openai.azure.com{path}"));
    }
    let classic = format!("{RESOURCE}\napi_version = \"2024-10-21\"");
    let shown = address(&classic, Endpoint::Chat, "a/../b?c").await;
    assert!(shown.contains("/deployments/a%2F..%2Fb%3Fc/chat/completions?api-version="), "{shown}");
}

#[tokio::test]
async fn the_resource_is_named_with_or_without_a_surface() {
    for path in ["", "/", "/openai", "/openai/", "/openai/v1", "/openai/v1/"] {
        let base = format!("base_url = \"https://hansa.openai.azure.com{path}\"");
        let shown = address(&base, Endpoint::Chat, "m").await;
        assert_eq!(shown, "https://hansa.openai.azure.com/openai/v1/chat/completions", "{path}");
    }
    // API Management stands before resources under paths of its operator's.
    let shown = address("base_url = \"https://apim.example/eu/openai\"", Endpoint::Chat, "m").await;
    assert_eq!(shown, "https://apim.example/eu/openai/v1/chat/completions");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (fields, problem) in [
        ("", "base_url `` is missing"),
        ("base_url = \"https://x/openai/deployments/gpt\"", "goes on to a deployment"),
        ("base_url = \"ftp://x\"", "is not a URL"),
        ("base_url = \"https://x\"\napi_version = \"2024-06-01\"", "`2024-06-01` is too old"),
        ("base_url = \"https://x\"\napi_version = \"2024-10-21&x=1\"", "is no API version"),
        (
            "base_url = \"https://x\"\napi_key = \"k\"\nentra = { tenant = \"t\", client_id = \"i\", client_secret = \"s\" }",
            "cannot both be given",
        ),
        (
            "base_url = \"https://x\"\nentra = { tenant = \"t\", client_id = \"i\", client_secret = \"s\", authority = \"login\" }",
            "entra.authority `login` is not a URL",
        ),
    ] {
        let refused = built(fields).unwrap_err();
        assert!(refused.contains(problem), "{fields}: {refused}");
    }
}

#[test]
fn statuses_are_taken_as_azure_means_them() {
    let none = HeaderMap::new();
    let filtered = r#"{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}"#;
    let other = r#"{"error":{"code":"OperationNotSupported","message":"The chatCompletion operation does not work with the specified model, text-embedding-3-large."}}"#;
    let absent = r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}"#;
    let poor = r#"{"error":{"code":"insufficient_quota","message":"You exceeded your current quota."}}"#;
    let cases: &[(u16, &str, Failure)] = &[
        (302, "", Failure::Redirect),
        (400, "", Failure::Caller),
        (400, filtered, Failure::Caller),
        (400, other, Failure::NoModel),
        (
            401,
            r#"{"error":{"code":"401","message":"Access denied due to invalid subscription key or wrong API endpoint."}}"#,
            Failure::Credentials,
        ),
        (
            401,
            r#"{"statusCode":401,"message":"Access denied due to missing subscription key."}"#,
            Failure::Credentials,
        ),
        (402, "", Failure::Credentials),
        (
            403,
            r#"{"error":{"code":"403","message":"Access denied due to Virtual Network/Firewall rules."}}"#,
            Failure::Credentials,
        ),
        (404, absent, Failure::NoModel),
        (404, r#"{"error":{"code":"404","message":"Resource not found"}}"#, Failure::NoModel),
        (408, "", Failure::TimedOut(None)),
        (409, "", Failure::Passing(None)),
        (413, "", Failure::Caller),
        (422, "", Failure::Caller),
        (
            429,
            r#"{"error":{"code":"429","message":"Requests have exceeded the token rate limit."}}"#,
            Failure::RateLimited(None),
        ),
        (429, poor, Failure::Credentials),
        (500, "", Failure::Passing(None)),
        (503, "", Failure::Overloaded(None)),
    ];
    for (status, body, failure) in cases {
        let status = StatusCode::from_u16(*status).unwrap();
        assert_eq!(classify(status, &none, body.as_bytes()), *failure, "{status} {body}");
    }
    let both = [("retry-after", "7"), ("retry-after-ms", "6500")];
    let headers =
        both.map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
    let failure = classify(StatusCode::TOO_MANY_REQUESTS, &headers.into_iter().collect(), b"");
    assert_eq!(failure, Failure::RateLimited(Some(Duration::from_millis(6500))));
}
