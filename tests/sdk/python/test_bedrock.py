"""The `anthropic` package's client for Bedrock, which calls `invoke` and signs: the same users' code, on another wire."""

import asyncio
import os

import anthropic
import pytest
from conftest import RECORDED
from test_anthropic import (  # noqa: F401, every test here runs with this file's client
    HI,
    ask,
    say,
    test_a_failed_tool,
    test_a_parsed_answer,
    test_a_tool_loop,
    test_cached_tokens,
    test_echo,
    test_errors_in_the_middle_of_a_stream,
    test_events_of_a_stream,
    test_images,
    test_leaving_a_stream_cancels_upstream,
    test_stop_reasons,
    test_structured_output,
    test_the_input_of_a_tool_piece_by_piece,
    test_the_text_of_a_stream,
    test_thinking_and_a_second_turn,
)

CLIENT = "py-bedrock"


def connect(**given):
    pair = {"aws_access_key": os.environ["AWS_ACCESS_KEY_ID"], "aws_secret_key": os.environ["AWS_SECRET_ACCESS_KEY"]}
    return anthropic.AnthropicBedrock(**{"max_retries": 0, **pair, **given})


@pytest.fixture(scope="module")
def client():
    """Configured as users do it: by ANTHROPIC_BEDROCK_BASE_URL, AWS_REGION and a pair of keys."""
    with connect() as client:
        yield client


def test_system_prompt_and_turns(ask, wire, vendor):
    messages = [*say("one"), {"role": "assistant", "content": [{"type": "text", "text": "1"}]}, *say("two")]
    answer = ask(model=f"{wire}/any", system="Be brief.", messages=messages, max_tokens=99, stop_sequences=["END"])
    assert answer.content[0].text == "You said: two"
    sent = vendor.last()
    assert "Be brief." in str(sent["body"]) and "END" in str(sent["body"])
    assert os.environ["AWS_ACCESS_KEY_ID"] not in str(sent)
    if wire == "bedrock":
        assert sent["headers"]["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIAVENDOR/")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "kind, expected, status",
    [
        ("400", anthropic.BadRequestError, 400),
        # A vendor that refuses Steelyard's own key is not the caller's mistake: 424, ModelErrorException.
        ("401", anthropic.APIStatusError, 424),
        ("403", anthropic.APIStatusError, 424),
        ("404", anthropic.NotFoundError, 404),
        ("413", anthropic.APIStatusError, None),
        ("429", anthropic.RateLimitError, 429),
        ("500", anthropic.InternalServerError, 500),
        ("503", anthropic.InternalServerError, 503),
        ("529", anthropic.InternalServerError, 503),
    ],
)
def test_errors_of_the_vendor(client, wire, fault, entry, kind, expected, status, stream):
    with pytest.raises(expected) as caught:
        client.messages.create(model=fault(kind), max_tokens=9, messages=HI, stream=stream)
    error = caught.value
    assert error.status_code == status or (kind == "413" and error.status_code in (400, 413))
    assert error.body["message"]
    if kind in ("400", "413"):
        assert f"the vendor's own words for {kind}" in str(error)
    if not stream and kind in RECORDED:
        assert entry(error.response.headers["x-steelyard-request-id"])["outcome"] == "upstream_error"


def test_a_wrong_key(revoked):
    for key, secret in [
        (os.environ["AWS_ACCESS_KEY_ID"], "wrong"),
        ("AKIAIOSFODNN7EXAMPLE", "wrong"),
        (revoked["aws_access_key_id"], revoked["aws_secret_access_key"]),
    ]:
        with pytest.raises(anthropic.PermissionDeniedError) as caught:
            connect(aws_access_key=key, aws_secret_key=secret).messages.create(model="sandbox", max_tokens=9, messages=HI)
        assert caught.value.status_code == 403
        assert caught.value.response.headers["x-amzn-errortype"] in ("InvalidSignatureException", "UnrecognizedClientException")


def test_bearer_keys(monkeypatch, wire, revoked):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", os.environ["OPENAI_API_KEY"])
    ask = {"model": f"{wire}/any", "max_tokens": 9, "messages": HI}
    assert anthropic.AnthropicBedrock(max_retries=0).messages.create(**ask).content[0].text == "You said: hi"
    for key in ["wrong", revoked["secret"]]:
        with pytest.raises(anthropic.PermissionDeniedError):
            anthropic.AnthropicBedrock(max_retries=0, api_key=key).messages.create(**ask)


def test_an_unknown_model_and_a_large_body(client, wire):
    with pytest.raises(anthropic.NotFoundError, match="sandbox"):
        client.messages.create(model="sandbix", max_tokens=9, messages=HI)
    with pytest.raises(anthropic.ContentTooLargeError, match="max_body"):
        client.messages.create(model=f"{wire}/any", max_tokens=9, messages=say("x" * 3_000_000))


def test_retries_of_the_sdk(fault, vendor):
    with pytest.raises(anthropic.RateLimitError) as caught:
        connect(max_retries=2).messages.create(model=fault("429"), max_tokens=9, messages=HI)
    assert caught.value.response.headers["retry-after-ms"] == "20"
    assert len(vendor.requests()) == 3, "the SDK asks again, and signs each time anew"


def test_async(wire):
    async def main():
        pair = {"aws_access_key": os.environ["AWS_ACCESS_KEY_ID"], "aws_secret_key": os.environ["AWS_SECRET_ACCESS_KEY"]}
        async with anthropic.AsyncAnthropicBedrock(max_retries=0, **pair) as client:
            async with client.messages.stream(model=f"{wire}/any", max_tokens=99, messages=HI) as stream:
                text = "".join([text async for text in stream.text_stream])
            whole = await client.messages.create(model=f"{wire}/any", max_tokens=99, messages=HI)
            return text, whole.content[0].text

    assert asyncio.run(main()) == ("You said: hi", "You said: hi")
