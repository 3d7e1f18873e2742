"""The `anthropic` package on every vendor's wire: what its users write, and what they catch."""

import asyncio
import json
import os

import anthropic
import pydantic
import pytest
from conftest import CITY, HANSA, PIXEL, RECORDED, SCHEMA, thinker

CLIENT = "py-anthropic"
HI = [{"role": "user", "content": "hi"}]
SANDBOX_AND_WIRES = ["sandbox", "openai/any", "anthropic/any", "bedrock/any"]
TOOLS = [{"name": name, "description": f"{name} of a city", "input_schema": CITY} for name in ["get_weather", "get_tide"]]


@pytest.fixture(scope="module")
def client():
    """Configured as users do it: by ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY."""
    with anthropic.Anthropic(max_retries=0) as client:
        yield client


@pytest.fixture
def run():
    """Runs a coroutine function with an asynchronous client."""

    def run(body):
        async def main():
            async with anthropic.AsyncAnthropic(max_retries=0) as client:
                return await body(client)

        return asyncio.run(main())

    return run


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def ask(request, client):
    """Asks for a message, whole or by the stream helper, which puts it together again."""

    def ask(**given):
        given = {"max_tokens": 4096, "messages": HI, **given}
        if not request.param:
            raw = client.messages.with_raw_response.create(**given)
            message, response = raw.parse(), raw.http_response
        else:
            with client.messages.stream(**given) as stream:
                message, response = stream.get_final_message(), stream.response
        message._request_id = response.headers["x-steelyard-request-id"]
        return message

    return ask


def say(text):
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("model", SANDBOX_AND_WIRES)
def test_echo(ask, model, entry):
    answer = ask(model=model, messages=say("one two three"))
    assert (answer.type, answer.role, answer.stop_reason, answer.stop_sequence) == ("message", "assistant", "end_turn", None)
    assert [block.type for block in answer.content] == ["text"]
    if model != "sandbox":
        assert answer.content[0].text == "You said: one two three"
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (10, 5)
    recorded = entry(answer._request_id)
    assert (recorded["outcome"], recorded["principal"], recorded["basis"]) == ("ok", "sdk", "reported")
    assert recorded["usage"] == {"input": answer.usage.input_tokens, "output": answer.usage.output_tokens}


@pytest.mark.parametrize("model", SANDBOX_AND_WIRES)
def test_events_of_a_stream(client, model):
    events = list(client.messages.create(model=model, max_tokens=99, messages=say("one two three"), stream=True))
    kinds = [event.type for event in events if event.type != "ping"]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"} and len(kinds) > 7
    assert events[0].message.content == [] and events[0].message.id.startswith("msg_")
    assert next(event for event in events if event.type == "message_delta").delta.stop_reason == "end_turn"


def test_system_prompt_and_turns(ask, wire, vendor):
    messages = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": [{"type": "text", "text": "1"}]},
        {"role": "user", "content": [{"type": "text", "text": "two"}]},
    ]
    answer = ask(model=f"{wire}/any", system="Be brief.", messages=messages, max_tokens=99, stop_sequences=["END"])
    assert answer.content[0].text == "You said: two"
    body = vendor.last()["body"]
    if wire == "openai":
        assert body["messages"][0] == {"role": "system", "content": "Be brief."}
        assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "user"]
        assert (body["max_tokens"], body["stop"]) == (99, ["END"])
    elif wire == "anthropic":
        assert (body["system"], body["messages"]) == ("Be brief.", messages)
        assert vendor.last()["headers"]["x-api-key"] == "vendor-key"
        assert "authorization" not in vendor.last()["headers"]
    else:
        assert body["system"] == [{"text": "Be brief."}]
        assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
        assert body["inferenceConfig"] == {"maxTokens": 99, "stopSequences": ["END"]}
        assert vendor.last()["headers"]["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIAVENDOR/")


def test_the_text_of_a_stream(client, wire):
    with client.messages.stream(model=f"{wire}/any", max_tokens=99, messages=say("one two three")) as stream:
        assert "".join(stream.text_stream) == "You said: one two three"


@pytest.mark.parametrize("model", ["sandbox", "openai/tools", "anthropic/tools", "bedrock/tools"])
def test_a_tool_loop(ask, model):
    messages = say("please call get_weather and call get_tide")
    answer = ask(model=model, messages=messages, tools=TOOLS)
    assert answer.stop_reason == "tool_use"
    calls = [block for block in answer.content if block.type == "tool_use"]
    assert [call.name for call in calls] == ["get_weather", "get_tide"]
    assert len({call.id for call in calls}) == 2
    assert all(call.input == {"city": "Lübeck"} or model == "sandbox" for call in calls)
    assert all(isinstance(call.input["city"], str) for call in calls)
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": f"seven by {call.name}"} for call in calls]
    # As the SDK's manual does it: the answer's content goes back as it came.
    messages += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]
    told = ask(model=model, messages=messages, tools=TOOLS)
    assert told.stop_reason == "end_turn"
    assert "seven by get_weather" in told.content[0].text
    assert "seven by get_tide" in told.content[0].text


def test_the_input_of_a_tool_piece_by_piece(client, wire):
    with client.messages.stream(model=f"{wire}/tools", max_tokens=99, messages=HI, tools=TOOLS) as stream:
        pieces = [event for event in stream if event.type == "input_json"]
    assert len(pieces) > 2
    assert pieces[-1].snapshot == {"city": "Lübeck"}


@pytest.mark.parametrize(
    "choice, sent",
    [
        ({"type": "tool", "name": "get_tide"}, [{"type": "function", "function": {"name": "get_tide"}}, {"tool": {"name": "get_tide"}}]),
        ({"type": "any"}, ["required", {"any": {}}]),
    ],
    ids=["one", "any"],
)
def test_a_forced_tool(client, wire, vendor, choice, sent):
    client.messages.create(model=f"{wire}/tools", max_tokens=99, messages=HI, tools=TOOLS, tool_choice=choice)
    body = vendor.last()["body"]
    if wire == "openai":
        assert body["tool_choice"] == sent[0]
    elif wire == "anthropic":
        assert body["tool_choice"] == choice
    else:
        assert body["toolConfig"]["toolChoice"] == sent[1]


def test_a_failed_tool(ask, wire, vendor):
    call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Bergen"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "no such city", "is_error": True}
    messages = [*HI, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    assert "no such city" in ask(model=f"{wire}/tools", messages=messages, tools=TOOLS).content[0].text
    body = json.dumps(vendor.last()["body"])
    assert {"openai": "rror", "anthropic": '"is_error": true', "bedrock": '"status": "error"'}[wire] in body


def test_structured_output(ask, wire):
    answer = ask(model=f"{wire}/structured", output_config={"format": {"type": "json_schema", "schema": SCHEMA}})
    assert answer.stop_reason == "end_turn"
    assert json.loads("".join(block.text for block in answer.content)) == HANSA


@pytest.mark.parametrize("model", ["sandbox", "openai/structured", "anthropic/structured", "bedrock/structured"])
def test_a_parsed_answer(client, model):
    class League(pydantic.BaseModel):
        name: str
        cities: list[str]
        year: int

    answer = client.messages.parse(model=model, max_tokens=99, messages=HI, output_format=League)
    assert isinstance(answer.parsed_output, League)
    assert answer.parsed_output.model_dump() == HANSA or model == "sandbox"


def test_images(ask, wire, vendor):
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    answer = ask(model=f"{wire}/vision", messages=say([image, {"type": "text", "text": "what is this?"}]))
    assert answer.content[0].text == "1 images, the first is data:image/png;base64,"
    assert PIXEL in json.dumps(vendor.last()["body"])


@pytest.mark.parametrize("model, reason", [("length", "max_tokens"), ("filtered", "refusal"), ("refusal", "refusal"), ("stopped", None)])
def test_stop_reasons(ask, wire, model, reason):
    # Converse tells which text it was of Claude alone, which is known by its name.
    name = "anthropic.claude-stopped" if (wire, model) == ("bedrock", "stopped") else model
    answer = ask(model=f"{wire}/{name}", stop_sequences=["END"])
    if reason:
        assert answer.stop_reason == reason
    elif wire == "openai":
        # Which has one word for both.
        assert answer.stop_reason == "end_turn"
    else:
        assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "END")


def test_thinking_and_a_second_turn(ask, wire, vendor, entry):
    given = {"model": thinker(wire), "thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}
    answer = ask(**given)
    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert answer.content[0].thinking == "Let me think."
    # OpenAI's wire has no signatures.
    assert answer.content[0].signature == ("" if wire == "openai" else "c2lnbmVk")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (12, 40)
    # Converse does not tell how much of the output was reasoning.
    told = {"input": 12, "output": 40} if wire == "bedrock" else {"input": 12, "output": 10, "reasoning": 30}
    assert entry(answer._request_id)["usage"] == told
    if wire != "bedrock":
        assert answer.usage.output_tokens_details.thinking_tokens == 30
    messages = [*HI, {"role": "assistant", "content": answer.content}, *say("and now?")]
    assert ask(messages=messages, **given).content[-1].text == "42"
    body = json.dumps(vendor.last()["body"])
    assert "Let me think." in body
    assert wire == "openai" or "c2lnbmVk" in body


def test_cached_tokens(ask, wire, vendor, entry):
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    answer = ask(model=f"{wire}/cached", system=system)
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (100, 900, 5)
    assert not usage.cache_creation_input_tokens
    assert entry(answer._request_id)["usage"] == {"input": 100, "cache_read": 900, "output": 5}
    sent = json.dumps(vendor.last()["body"])
    assert {"openai": "Be brief.", "anthropic": '"cache_control"', "bedrock": '"cachePoint"'}[wire] in sent


@pytest.mark.parametrize("model", SANDBOX_AND_WIRES)
def test_counting_tokens(client, model):
    short = client.messages.count_tokens(model=model, messages=HI)
    long = client.messages.count_tokens(model=model, messages=say("hi " * 1000), system="Be brief.", tools=TOOLS)
    assert short.input_tokens > 0
    # Anthropic itself counts; for the others it is reckoned.
    assert long.input_tokens == short.input_tokens == 10 if model == "anthropic/any" else long.input_tokens > 500


def test_models(client, wire):
    # More than a page of them: the SDK asks for the next by itself.
    listed = [model.id for model in client.models.list()]
    assert len(listed) > 100 and len(listed) == len(set(listed))
    assert "sandbox" in listed and f"{CLIENT}-{wire}-fault-429" in listed
    page = client.models.list(limit=5)
    assert len(page.data) == 5 and page.has_more
    assert client.models.retrieve("sandbox").id == "sandbox"
    assert client.models.retrieve(f"{wire}/any").type == "model"


def test_the_path_with_a_prefix(client):
    prefixed = client.with_options(base_url=f"{os.environ['STEELYARD_URL']}/anthropic")
    assert prefixed.messages.create(model="anthropic/any", max_tokens=9, messages=HI).content[0].text == "You said: hi"
    assert prefixed.messages.count_tokens(model="sandbox", messages=HI).input_tokens > 0
    assert prefixed.models.retrieve("sandbox").type == "model"


def test_the_older_version_and_its_key_header(wire, vendor):
    headers = {"anthropic-version": "2023-06-01", "x-api-key": os.environ["ANTHROPIC_API_KEY"], "authorization": ""}
    client = anthropic.Anthropic(max_retries=0, default_headers=headers)
    body = {"temperature": 0.5, "top_k": 3}
    answer = client.messages.create(model=f"{wire}/any", max_tokens=9, messages=HI, extra_body=body)
    assert answer.content[0].text == "You said: hi"
    sent = vendor.last()["body"]
    assert (sent["inferenceConfig"] if wire == "bedrock" else sent)["temperature"] == 0.5


def test_request_ids(client, entry):
    raw = client.messages.with_raw_response.create(model="sandbox", max_tokens=99, messages=HI)
    assert raw.parse()._request_id == raw.headers["request-id"] == raw.headers["x-steelyard-request-id"]
    assert entry(raw.headers["request-id"])["channel"] == "sandbox"


# Errors arrive as the exception classes that the SDK's users catch.


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "kind, expected, status, word",
    [
        ("400", anthropic.BadRequestError, 400, "invalid_request_error"),
        # A vendor that refuses Steelyard's own key is not the caller's mistake.
        ("401", anthropic.InternalServerError, 500, "api_error"),
        ("403", anthropic.InternalServerError, 500, "api_error"),
        ("404", anthropic.NotFoundError, 404, "not_found_error"),
        ("413", anthropic.APIStatusError, 413, "request_too_large"),
        ("429", anthropic.RateLimitError, 429, "rate_limit_error"),
        ("500", anthropic.InternalServerError, 500, "api_error"),
        ("503", anthropic.InternalServerError, 529, "overloaded_error"),
        ("529", anthropic.InternalServerError, 529, "overloaded_error"),
    ],
)
def test_errors_of_the_vendor(client, wire, fault, entry, kind, expected, status, word, stream):
    with pytest.raises(expected) as caught:
        client.messages.create(model=fault(kind), max_tokens=9, messages=HI, stream=stream)
    error = caught.value
    assert (error.status_code, error.body["error"]["type"], error.type) == (status, word, word)
    assert error.request_id.startswith("req_")
    assert error.body["request_id"] == error.request_id
    if kind in ("400", "413"):
        assert f"the vendor's own words for {kind}" in str(error)
    if not stream and kind in RECORDED:
        assert entry(error.request_id)["outcome"] == "upstream_error"


def test_a_wrong_key(revoked):
    for key in ["wrong", "sk-ant-0123456789", revoked["secret"]]:
        client = anthropic.Anthropic(api_key=key, max_retries=0)
        for ask in [
            lambda: client.messages.create(model="sandbox", max_tokens=9, messages=HI),
            lambda: client.messages.count_tokens(model="sandbox", messages=HI),
            client.models.list,
        ]:
            with pytest.raises(anthropic.AuthenticationError) as caught:
                ask()
            assert (caught.value.status_code, caught.value.type) == (401, "authentication_error")
            assert caught.value.response.headers["x-should-retry"] == "false"
            assert key not in str(caught.value)


def test_an_unknown_model(client):
    for ask in [
        lambda: client.messages.create(model="sandbix", max_tokens=9, messages=HI),
        lambda: client.messages.count_tokens(model="sandbix", messages=HI),
        lambda: client.models.retrieve("sandbix"),
    ]:
        with pytest.raises(anthropic.NotFoundError) as caught:
            ask()
        assert caught.value.type == "not_found_error"


def test_a_bad_request(client, wire):
    for wrong in [{"messages": "hi"}, {"messages": []}, {"max_tokens": -1}]:
        given = {"model": f"{wire}/any", "max_tokens": 9, "messages": HI, **wrong}
        # What only Anthropic can judge goes to Anthropic as it is.
        if wire == "anthropic" and wrong != {"messages": "hi"}:
            continue
        with pytest.raises(anthropic.BadRequestError) as caught:
            client.messages.create(**given)
        assert caught.value.type == "invalid_request_error"


def test_a_body_that_is_too_large(client, wire):
    with pytest.raises(anthropic.ContentTooLargeError) as caught:
        client.messages.create(model=f"{wire}/any", max_tokens=9, messages=say("x" * 3_000_000))
    assert (caught.value.status_code, caught.value.type) == (413, "request_too_large")


@pytest.mark.parametrize("kind, words", [("stream-error", "engine failed"), ("stream-cut", "incomplete|broke off")])
def test_errors_in_the_middle_of_a_stream(client, fault, kind, words):
    got = ""
    with pytest.raises(anthropic.APIError, match=words):
        with client.messages.stream(model=fault(kind), max_tokens=9, messages=HI) as stream:
            for text in stream.text_stream:
                got += text
    assert got == "one two "


def test_retries_of_the_sdk(fault, vendor):
    client = anthropic.Anthropic(max_retries=2)
    with pytest.raises(anthropic.RateLimitError) as caught:
        client.messages.create(model=fault("429"), max_tokens=9, messages=HI)
    assert caught.value.response.headers["retry-after-ms"] == "20"
    assert len(vendor.requests()) == 3, "the SDK asks again, and each time one request goes upstream"


def test_a_timeout_of_the_sdk_cancels_upstream(client, fault, vendor):
    with pytest.raises(anthropic.APITimeoutError):
        client.with_options(timeout=0.3).messages.create(model=fault("hang"), max_tokens=9, messages=HI)
    vendor.becomes(aborted=1, answering=0)


def test_leaving_a_stream_cancels_upstream(client, wire, vendor, entry):
    with client.messages.stream(model=f"{wire}/slow", max_tokens=9999, messages=HI) as stream:
        for number, _ in enumerate(stream.text_stream):
            if number == 5:
                break
        assert vendor.state()["answering"] == 1
        request_id = stream.response.headers["x-steelyard-request-id"]
    vendor.becomes(aborted=1, answering=0)
    recorded = entry(request_id)
    assert recorded["outcome"] == "client_gone"
    assert 0 < recorded["usage"]["output"] < 100


# The asynchronous client.


def test_async(run, wire):
    async def body(client):
        async def one(number):
            async with client.messages.stream(model=f"{wire}/any", max_tokens=99, messages=say(f"number {number}")) as stream:
                return "".join([text async for text in stream.text_stream])

        whole = await client.messages.create(model=f"{wire}/any", max_tokens=99, messages=HI)
        models = [model.id async for model in client.models.list()]
        return whole, models, await asyncio.gather(*(one(number) for number in range(50)))

    whole, models, streamed = run(body)
    assert whole.content[0].text == "You said: hi"
    assert "sandbox" in models
    assert streamed == [f"You said: number {number}" for number in range(50)]


def test_async_errors(run, fault):
    async def body(client):
        with pytest.raises(anthropic.RateLimitError):
            await client.messages.create(model=fault("429"), max_tokens=9, messages=HI)
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.create(model="nowhere", max_tokens=9, messages=HI)
        with pytest.raises(anthropic.APIError, match="engine failed"):
            stream = await client.messages.create(model=fault("stream-error"), max_tokens=9, messages=HI, stream=True)
            async for _ in stream:
                pass

    run(body)
