"""The `openai` package on every vendor's wire: what its users write, and what they catch."""

import asyncio
import base64
import json
import struct

import openai
import pydantic
import pytest
from conftest import CITY, PIXEL, RECORDED, thinker

CLIENT = "py-openai"
HI = [{"role": "user", "content": "hi"}]
SANDBOX_AND_WIRES = ["sandbox", "openai/any", "anthropic/any", "bedrock/any"]


class League(pydantic.BaseModel):
    name: str
    cities: list[str]
    year: int


HANSA = League(name="Hansa", cities=["Lübeck", "Bergen"], year=1356)


@pytest.fixture(scope="module")
def client():
    """Configured as users do it: by OPENAI_BASE_URL and OPENAI_API_KEY."""
    with openai.OpenAI(max_retries=0) as client:
        yield client


@pytest.fixture
def run():
    """Runs a coroutine function with an asynchronous client."""

    def run(body):
        async def main():
            async with openai.AsyncOpenAI(max_retries=0) as client:
                return await body(client)

        return asyncio.run(main())

    return run


def say(text):
    return [{"role": "user", "content": text}]


def tool(name):
    function = {"name": name, "description": f"{name} of a city", "parameters": CITY, "strict": True}
    return {"type": "function", "function": function}


TOOLS = [tool("get_weather"), tool("get_tide")]
CALL_BOTH = "please call get_weather and call get_tide"


@pytest.mark.parametrize("model", SANDBOX_AND_WIRES)
def test_whole(client, model, entry):
    answer = client.chat.completions.create(model=model, messages=HI)
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    if model != "sandbox":
        assert answer.choices[0].message.content == "You said: hi"
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (10, 5)
    recorded = entry(answer._request_id)
    assert (recorded["outcome"], recorded["principal"], recorded["basis"]) == ("ok", "sdk", "reported")


def test_the_sandbox_says_what_it_is(client):
    answer = client.chat.completions.create(model="sandbox", messages=HI)
    assert "sandbox" in answer.choices[0].message.content
    assert "not a language model" in answer.choices[0].message.content


@pytest.mark.parametrize("model", SANDBOX_AND_WIRES)
def test_stream(client, model):
    chunks = list(client.chat.completions.create(model=model, messages=say("one two three"), stream=True))
    # Naive clients index choices[0] of every chunk.
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == "You said: one two three" or model == "sandbox"
    assert len(chunks) > 4
    assert all(chunk.usage is None for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("model", SANDBOX_AND_WIRES)
def test_stream_with_usage(client, model, entry):
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=say("one two three"), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(raw.parse())
    assert chunks[-1].choices == []
    usage = chunks[-1].usage
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert model == "sandbox" or (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (10, 5, 15)
    recorded = entry(raw.headers["x-steelyard-request-id"])
    assert recorded["usage"]["output"] == usage.completion_tokens
    assert recorded["basis"] == "reported"


def test_what_a_vendor_of_the_same_wire_gets(client, openai_vendor):
    given = {"temperature": 0.5, "seed": 7, "user": "u", "metadata": {"a": "b"}, "max_completion_tokens": 9}
    client.chat.completions.create(model="openai/any", messages=HI, **given)
    request = openai_vendor.last()
    assert request["body"] == {"model": "any", "messages": HI, **given}
    assert request["headers"]["authorization"] == "Bearer vendor-key"
    assert not any(name.startswith("x-stainless") for name in request["headers"])


@pytest.mark.parametrize("role", ["system", "developer"])
def test_system_prompt_and_turns(client, wire, vendor, role):
    messages = [
        {"role": role, "content": "Be brief."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "two"},
    ]
    answer = client.chat.completions.create(model=f"{wire}/any", messages=messages, temperature=0.5, max_tokens=99, stop=["END"])
    assert answer.choices[0].message.content == "You said: two"
    body = vendor.last()["body"]
    if wire == "openai":
        assert body["messages"] == messages
    elif wire == "anthropic":
        assert json.dumps(body["system"]).count("Be brief.") == 1
        assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
        assert (body["temperature"], body["max_tokens"], body["stop_sequences"]) == (0.5, 99, ["END"])
    else:
        assert body["system"] == [{"text": "Be brief."}]
        assert [message["content"] for message in body["messages"]] == [[{"text": "one"}], [{"text": "1"}], [{"text": "two"}]]
        assert body["inferenceConfig"] == {"maxTokens": 99, "temperature": 0.5, "stopSequences": ["END"]}


def test_the_stream_helper(client, wire):
    with client.chat.completions.stream(model=f"{wire}/any", messages=say("one two three")) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content == "You said: one two three"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("model", ["sandbox", "openai/tools", "anthropic/tools", "bedrock/tools"])
def test_a_tool_loop(client, model, streamed):
    messages = say(CALL_BOTH)
    if streamed:
        with client.chat.completions.stream(model=model, messages=messages, tools=TOOLS) as stream:
            done = [event.name for event in stream if event.type == "tool_calls.function.arguments.done"]
            answer = stream.get_final_completion()
        assert done == ["get_weather", "get_tide"]
    else:
        answer = client.chat.completions.create(model=model, messages=messages, tools=TOOLS)
    assert answer.choices[0].finish_reason == "tool_calls"
    calls = answer.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "get_tide"]
    assert len({call.id for call in calls}) == 2
    messages.append(answer.choices[0].message.model_dump(exclude_none=True))
    for call in calls:
        city = json.loads(call.function.arguments)["city"]
        assert city == "Lübeck" or model == "sandbox"
        messages.append({"role": "tool", "tool_call_id": call.id, "content": f"seven by {call.function.name}"})
    told = client.chat.completions.create(model=model, messages=messages, tools=TOOLS).choices[0]
    assert told.finish_reason == "stop"
    assert "seven by get_weather" in told.message.content
    assert "seven by get_tide" in told.message.content


def test_a_forced_tool(client, wire, vendor):
    choice = {"type": "function", "function": {"name": "get_tide"}}
    answer = client.chat.completions.create(model="sandbox", messages=HI, tools=TOOLS, tool_choice=choice)
    assert [call.function.name for call in answer.choices[0].message.tool_calls] == ["get_tide"]
    client.chat.completions.create(model=f"{wire}/tools", messages=HI, tools=TOOLS, tool_choice=choice)
    body = vendor.last()["body"]
    if wire == "openai":
        assert body["tool_choice"] == choice
    elif wire == "anthropic":
        assert body["tool_choice"] == {"type": "tool", "name": "get_tide"}
    else:
        assert body["toolConfig"]["toolChoice"] == {"tool": {"name": "get_tide"}}


@pytest.mark.parametrize("model", ["sandbox", "openai/structured", "anthropic/structured", "bedrock/structured"])
def test_structured_output(client, model):
    parsed = client.chat.completions.parse(model=model, messages=HI, response_format=League).choices[0]
    assert parsed.finish_reason == "stop"
    assert isinstance(parsed.message.parsed, League)
    assert parsed.message.parsed == HANSA or model == "sandbox"
    with client.chat.completions.stream(model=model, messages=HI, response_format=League) as stream:
        streamed = stream.get_final_completion().choices[0].message.parsed
    assert streamed == parsed.message.parsed


def test_a_parsed_tool_call(client):
    class Weather(pydantic.BaseModel):
        city: str
        days: int

    offered = openai.pydantic_function_tool(Weather, name="get_weather")
    answer = client.chat.completions.parse(model="sandbox", messages=say("call get_weather"), tools=[offered])
    assert isinstance(answer.choices[0].message.tool_calls[0].function.parsed_arguments, Weather)


def test_images(client, wire, vendor):
    content = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "low"}},
    ]
    answer = client.chat.completions.create(model=f"{wire}/vision", messages=say(content))
    assert answer.choices[0].message.content == "1 images, the first is data:image/png;base64,"
    assert PIXEL in json.dumps(vendor.last()["body"])
    assert client.chat.completions.create(model="sandbox", messages=say(content)).choices[0].message.content


def test_an_image_by_address(client, wire):
    content = [{"type": "image_url", "image_url": {"url": "https://example.com/ship.png"}}]
    ask = lambda: client.chat.completions.create(model=f"{wire}/vision", messages=say(content))
    if wire == "bedrock":
        # Converse takes no addresses, and a call that cannot see its picture is not made.
        with pytest.raises(openai.BadRequestError, match="picture"):
            ask()
    else:
        assert ask().choices[0].message.content == "1 images, the first is https://example.com/sh"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("model, reason", [("length", "length"), ("filtered", "content_filter"), ("stopped", "stop"), ("refusal", None)])
def test_stop_reasons(client, wire, model, reason, streamed):
    ask = {"model": f"{wire}/{model}", "messages": HI}
    if streamed:
        chunks = list(client.chat.completions.create(stream=True, **ask))
        got = chunks[-1].choices[0].finish_reason
        refused = "".join(chunk.choices[0].delta.refusal or "" for chunk in chunks)
    else:
        choice = client.chat.completions.create(**ask).choices[0]
        got, refused = choice.finish_reason, choice.message.refusal
    if reason:
        assert got == reason
    elif wire == "bedrock":
        # What is filtered there comes as a text.
        assert got == "content_filter"
    else:
        assert refused == "I will not do that."


@pytest.mark.parametrize("streamed", [False, True])
def test_reasoning_and_a_second_turn(client, wire, vendor, entry, streamed):
    ask = {"model": thinker(wire), "reasoning_effort": "low"}
    if streamed:
        with client.chat.completions.stream(messages=HI, stream_options={"include_usage": True}, **ask) as stream:
            raw = stream._raw_stream.response
            answer = stream.get_final_completion()
        request_id = raw.headers["x-steelyard-request-id"]
    else:
        answer = client.chat.completions.create(messages=HI, **ask)
        request_id = answer._request_id
    message = answer.choices[0].message
    assert message.content == "42"
    assert message.reasoning_content == "Let me think."
    # Converse does not tell how much of the output was reasoning.
    told = 0 if wire == "bedrock" else 30
    details = answer.usage.completion_tokens_details
    assert (details.reasoning_tokens or 0 if details else 0) == told
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (12, 40)
    recorded = entry(request_id)["usage"]
    assert recorded == ({"input": 12, "output": 40} if told == 0 else {"input": 12, "output": 10, "reasoning": 30})
    replayed = message.model_dump(exclude_none=True)
    replayed.pop("parsed", None)
    again = client.chat.completions.create(messages=[*HI, replayed, *say("and now?")], **ask)
    assert again.choices[0].message.content == "42"
    body = json.dumps(vendor.last()["body"])
    if wire == "openai":
        assert "Let me think." in body
    else:
        # The vendor's own proof went through the client and came back unchanged.
        assert "Let me think." in body and "c2lnbmVk" in body


def test_the_sandbox_reasons(client):
    spent = {}
    for effort in ["high", "none"]:
        answer = client.chat.completions.create(model="sandbox", messages=HI, reasoning_effort=effort)
        details = answer.usage.completion_tokens_details
        spent[effort] = details and details.reasoning_tokens
    assert spent["high"] > 0 and not spent["none"]


@pytest.mark.parametrize("streamed", [False, True])
def test_cached_tokens(client, wire, entry, streamed):
    ask = {"model": f"{wire}/cached", "messages": HI}
    if streamed:
        raw = client.chat.completions.with_raw_response.create(stream=True, stream_options={"include_usage": True}, **ask)
        usage = list(raw.parse())[-1].usage
    else:
        raw = client.chat.completions.with_raw_response.create(**ask)
        usage = raw.parse().usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (1000, 5, 1005)
    assert usage.prompt_tokens_details.cached_tokens == 900
    assert entry(raw.headers["x-steelyard-request-id"])["usage"] == {"input": 100, "cache_read": 900, "output": 5}


def test_logprobs(client):
    answer = client.chat.completions.create(model="openai/any", messages=HI, logprobs=True, top_logprobs=2)
    assert answer.choices[0].logprobs.content[0].token == "You said: "
    chunks = client.chat.completions.create(model="openai/any", messages=HI, logprobs=True, stream=True)
    tokens = [token.token for chunk in chunks if chunk.choices[0].logprobs for token in chunk.choices[0].logprobs.content]
    assert "".join(tokens) == "You said: hi"


def test_several_choices(client):
    answer = client.chat.completions.create(model="openai/many", messages=HI, n=3)
    assert [choice.message.content for choice in answer.choices] == ["choice 0", "choice 1", "choice 2"]
    texts = ["", "", ""]
    for chunk in client.chat.completions.create(model="openai/many", messages=HI, n=3, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert texts == ["choice 0", "choice 1", "choice 2"]
    assert len(client.chat.completions.create(model="sandbox", messages=HI, n=2).choices) == 2


@pytest.mark.parametrize("wire", ["anthropic", "bedrock"], indirect=True)
@pytest.mark.parametrize("more", [{"n": 2}, {"logprobs": True}], ids=["n", "logprobs"])
def test_what_another_wire_cannot_express(client, wire, more):
    with pytest.raises(openai.BadRequestError, match=next(iter(more))) as caught:
        client.chat.completions.create(model=f"{wire}/any", messages=HI, **more)
    assert caught.value.body["steelyard"]["code"].startswith("SY")
    lost = client.chat.completions.with_raw_response.create(model=f"{wire}/any", messages=HI, seed=7)
    assert "seed" in lost.headers["x-steelyard-loss"]
    strict = {"x-steelyard-strict": "true"}
    with pytest.raises(openai.BadRequestError, match="seed"):
        client.chat.completions.create(model=f"{wire}/any", messages=HI, seed=7, extra_headers=strict)


def test_embeddings(client, openai_vendor):
    answer = client.embeddings.create(model="openai/e", input=["one", "two"])
    assert openai_vendor.last()["body"]["encoding_format"] == "base64", "the SDK's default"
    assert [row.embedding for row in answer.data] == [[0.5, -1.0, 0.25]] * 2
    assert answer.usage.prompt_tokens == 8
    answer = client.embeddings.create(model="openai/e", input="one", encoding_format="float", dimensions=3)
    assert answer.data[0].embedding == [0.5, -1.0, 0.25]
    wanted = {"model": "e", "input": "one", "encoding_format": "float", "dimensions": 3}
    assert openai_vendor.last()["body"] == wanted


def test_deployments_at_azure(client, openai_vendor, entry):
    """Azure's addresses and its key, behind an SDK that knows nothing of either."""
    operations = "/openai/deployments/{}?api-version=2024-10-21"
    answer = client.chat.completions.create(model="azure/any", messages=HI)
    assert answer.choices[0].message.content == "You said: hi"
    request = openai_vendor.last()
    assert request["path"] == operations.format("any/chat/completions")
    assert request["headers"]["api-key"] == "vendor-key"
    assert "authorization" not in request["headers"]
    assert entry(answer._request_id)["attempts"][0]["model"] == "openai/gpt-6-sol"
    with client.chat.completions.stream(model="azure/any", messages=say("one two three")) as stream:
        assert stream.get_final_completion().choices[0].message.content == "You said: one two three"
    rows = client.embeddings.create(model="azure/e", input=["one"]).data
    assert rows[0].embedding == [0.5, -1.0, 0.25]
    assert openai_vendor.last()["path"] == operations.format("e/embeddings")
    with pytest.raises(openai.BadRequestError, match="content management policy") as caught:
        client.chat.completions.create(model="azure/prompt-filtered", messages=HI)
    assert caught.value.code == "content_filter"


def test_embeddings_of_the_sandbox(client):
    decoded = client.embeddings.create(model="sandbox", input=["one", "two"])
    floats = client.embeddings.create(model="sandbox", input=["one", "two"], encoding_format="float")
    assert [row.embedding for row in decoded.data] == [pytest.approx(row.embedding, rel=1e-6) for row in floats.data]
    assert decoded.data[0].embedding != decoded.data[1].embedding
    raw = client.embeddings.create(model="sandbox", input="one", encoding_format="base64").data[0].embedding
    if isinstance(raw, str):
        data = base64.b64decode(raw)
        raw = list(struct.unpack(f"<{len(data) // 4}f", data))
    assert raw == pytest.approx(floats.data[0].embedding, rel=1e-6)


def test_models(client, wire):
    listed = [model.id for model in client.models.list()]
    assert "sandbox" in listed and f"{CLIENT}-{wire}-fault-429" in listed
    assert client.models.retrieve("sandbox").id == "sandbox"
    assert client.models.retrieve(f"{wire}/any").id == f"{wire}/any"


def test_request_ids(client, entry):
    answer = client.chat.completions.create(model="sandbox", messages=HI)
    assert answer._request_id.startswith("req_")
    raw = client.chat.completions.with_raw_response.create(model="sandbox", messages=HI)
    assert raw.request_id == raw.headers["x-steelyard-request-id"]
    assert entry(raw.request_id)["channel"] == "sandbox"
    assert client.models.list()._request_id.startswith("req_")


# Errors arrive as the exception classes that the SDK's users catch.


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "kind, expected, status",
    [
        ("400", openai.BadRequestError, 400),
        # A vendor that refuses Steelyard's own key is not the caller's mistake.
        ("401", openai.InternalServerError, 502),
        ("403", openai.InternalServerError, 502),
        ("404", openai.NotFoundError, 404),
        ("413", openai.APIStatusError, 413),
        # What the caller can mend keeps its status where both speak one wire.
        ("422", openai.APIStatusError, {"openai": 422, "anthropic": 400, "bedrock": 400}),
        ("429", openai.RateLimitError, 429),
        ("500", openai.InternalServerError, 502),
        ("503", openai.InternalServerError, 503),
        ("529", openai.InternalServerError, 503),
    ],
)
def test_errors_of_the_vendor(client, wire, fault, entry, kind, expected, status, stream):
    with pytest.raises(expected) as caught:
        client.chat.completions.create(model=fault(kind), messages=HI, stream=stream)
    error = caught.value
    assert error.status_code == (status if isinstance(status, int) else status[wire])
    assert error.message and error.type
    assert isinstance(error.body, dict)
    assert error.request_id.startswith("req_")
    if kind in ("400", "413", "422"):
        assert f"the vendor's own words for {kind}" in error.message
    if not stream and kind in RECORDED:
        assert entry(error.request_id)["outcome"] == "upstream_error"


def test_a_wrong_key(revoked):
    for key in ["wrong", "sk-proj-0123456789", revoked["secret"]]:
        client = openai.OpenAI(api_key=key, max_retries=0)
        for ask in [lambda: client.chat.completions.create(model="sandbox", messages=HI), client.models.list]:
            with pytest.raises(openai.AuthenticationError) as caught:
                ask()
            assert (caught.value.status_code, caught.value.code) == (401, "invalid_api_key")
            assert key not in str(caught.value)


def test_an_unknown_model(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="sandbix", messages=HI)
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    assert "sandbox" in caught.value.message
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("sandbix")
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="sandbix", input="x")


def test_a_bad_request(client, wire):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=f"{wire}/any", messages="hi")
    assert caught.value.type == "invalid_request_error"


def test_a_body_that_is_too_large(client, wire):
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=f"{wire}/any", messages=say("x" * 3_000_000))
    assert caught.value.status_code == 413
    assert "max_body" in caught.value.message or "2" in caught.value.message


def test_an_unknown_path(client):
    with pytest.raises(openai.NotFoundError):
        client.fine_tuning.jobs.list()


@pytest.mark.parametrize("kind, words", [("stream-error", "engine failed"), ("stream-cut", "incomplete|broke off")])
def test_errors_in_the_middle_of_a_stream(client, fault, kind, words):
    got = ""
    with pytest.raises(openai.APIError, match=words):
        for chunk in client.chat.completions.create(model=fault(kind), messages=HI, stream=True):
            got += chunk.choices[0].delta.content or ""
    assert got == "one two "


def test_retries_of_the_sdk(fault, vendor):
    client = openai.OpenAI(max_retries=2)
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model=fault("429"), messages=HI)
    assert caught.value.response.headers["retry-after-ms"] == "20"
    assert len(vendor.requests()) == 3, "the SDK asks again, and each time one request goes upstream"


def test_a_timeout_of_the_sdk_cancels_upstream(client, fault, vendor):
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.3).chat.completions.create(model=fault("hang"), messages=HI)
    vendor.becomes(aborted=1, answering=0)


def test_leaving_a_stream_cancels_upstream(client, wire, vendor, entry):
    raw = client.chat.completions.with_raw_response.create(model=f"{wire}/slow", messages=HI, stream=True)
    stream = raw.parse()
    for number, _ in enumerate(stream):
        if number == 5:
            break
    assert vendor.state()["answering"] == 1
    stream.close()
    vendor.becomes(aborted=1, answering=0)
    recorded = entry(raw.headers["x-steelyard-request-id"])
    assert recorded["outcome"] == "client_gone"
    assert 0 < recorded["usage"]["output"] < 100


# The asynchronous client.


def test_async(run, wire):
    async def body(client):
        async def one(number):
            stream = await client.chat.completions.create(model=f"{wire}/any", messages=say(f"number {number}"), stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        whole = await client.chat.completions.create(model=f"{wire}/any", messages=HI)
        parsed = await client.chat.completions.parse(model=f"{wire}/structured", messages=HI, response_format=League)
        models = [model.id async for model in client.models.list()]
        return whole, parsed, models, await asyncio.gather(*(one(number) for number in range(50)))

    whole, parsed, models, streamed = run(body)
    assert whole.choices[0].message.content == "You said: hi"
    assert parsed.choices[0].message.parsed == HANSA
    assert "sandbox" in models
    assert streamed == [f"You said: number {number}" for number in range(50)]


def test_async_errors(run, fault):
    async def body(client):
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model=fault("429"), messages=HI)
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="nowhere", messages=HI)
        stream = await client.chat.completions.create(model=fault("stream-error"), messages=HI, stream=True)
        with pytest.raises(openai.APIError, match="engine failed"):
            async for _ in stream:
                pass

    run(body)


def test_cancelling_a_task_cancels_upstream(run, wire, vendor):
    async def body(client):
        async def read():
            stream = await client.chat.completions.create(model=f"{wire}/slow", messages=HI, stream=True)
            async for _ in stream:
                pass

        task = asyncio.create_task(read())
        while vendor.state()["answering"] == 0:
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(body)
    vendor.becomes(aborted=1, answering=0)
