"""Whole answers, streams, tools, structured output and embeddings, as the SDK's users write them."""

import base64
import json
import struct

import pydantic
import pytest

HI = [{"role": "user", "content": "hi"}]


def echo(text):
    return [{"role": "user", "content": text}]


def weather(name, description="the weather in a city"):
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    function = {"name": name, "description": description, "parameters": parameters, "strict": True}
    return {"type": "function", "function": function}


class League(pydantic.BaseModel):
    name: str
    cities: list[str]
    year: int


@pytest.mark.parametrize("model", ["sandbox", "scripted/any"])
def test_whole(client, model, entry):
    answer = client.chat.completions.create(model=model, messages=HI)
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    recorded = entry(answer._request_id)
    assert recorded["outcome"] == "ok"
    assert recorded["principal"] == "sdk"


def test_the_sandbox_says_what_it_is(client):
    answer = client.chat.completions.create(model="sandbox", messages=HI)
    assert "sandbox" in answer.choices[0].message.content
    assert "not a language model" in answer.choices[0].message.content


@pytest.mark.parametrize("model", ["sandbox", "scripted/any"])
def test_stream(client, model):
    chunks = list(client.chat.completions.create(model=model, messages=echo("one two three"), stream=True))
    # Naive clients index choices[0] of every chunk.
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text
    assert len(chunks) > 4
    assert all(chunk.usage is None for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("model", ["sandbox", "scripted/any"])
def test_stream_with_usage(client, model, entry):
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=echo("one two three"), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(raw.parse())
    assert chunks[-1].choices == []
    usage = chunks[-1].usage
    assert usage.total_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])
    recorded = entry(raw.headers["x-steelyard-request-id"])
    assert recorded["usage"].get("output", 0) == usage.completion_tokens
    assert recorded["basis"] == "reported"


def test_what_the_vendor_gets(client, vendor):
    client.chat.completions.create(
        model="scripted/any", messages=HI, temperature=0.5, seed=7, user="u", metadata={"a": "b"}, max_completion_tokens=9
    )
    request = vendor.last()
    assert request["body"]["model"] == "any"
    assert {"temperature", "seed", "user", "metadata", "max_completion_tokens", "messages", "model"} == set(request["body"])
    assert request["headers"]["authorization"] == "Bearer vendor-key"
    assert not any(name.startswith("x-stainless") for name in request["headers"])


def test_the_stream_helper(client):
    with client.chat.completions.stream(model="scripted/any", messages=echo("one two three")) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content == "You said: one two three"


@pytest.mark.parametrize("model", ["sandbox", "scripted/tools"])
def test_a_tool_loop(client, model):
    tools = [weather("get_weather"), weather("get_tide")]
    messages = echo("please call get_weather and call get_tide")
    answer = client.chat.completions.create(model=model, messages=messages, tools=tools)
    assert answer.choices[0].finish_reason == "tool_calls"
    calls = answer.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "get_tide"]
    assert len({call.id for call in calls}) == 2
    messages.append(answer.choices[0].message.model_dump(exclude_none=True))
    for call in calls:
        assert isinstance(json.loads(call.function.arguments)["city"], str)
        messages.append({"role": "tool", "tool_call_id": call.id, "content": f"seven by {call.function.name}"})
    told = client.chat.completions.create(model=model, messages=messages, tools=tools).choices[0]
    assert told.finish_reason == "stop"
    assert "seven by get_weather" in told.message.content
    assert "seven by get_tide" in told.message.content


@pytest.mark.parametrize("model", ["sandbox", "scripted/tools"])
def test_parallel_tools_in_a_stream(client, model):
    with client.chat.completions.stream(
        model=model, messages=echo("call get_weather and call get_tide"), tools=[weather("get_weather"), weather("get_tide")]
    ) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        final = stream.get_final_completion()
    assert [event.name for event in done] == ["get_weather", "get_tide"]
    calls = final.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "get_tide"]
    assert all(isinstance(json.loads(call.function.arguments)["city"], str) for call in calls)


def test_a_forced_tool(client):
    answer = client.chat.completions.create(
        model="sandbox",
        messages=HI,
        tools=[weather("get_weather"), weather("get_tide")],
        tool_choice={"type": "function", "function": {"name": "get_tide"}},
    )
    assert [call.function.name for call in answer.choices[0].message.tool_calls] == ["get_tide"]


@pytest.mark.parametrize("model", ["sandbox", "scripted/structured"])
def test_structured_output(client, model):
    parsed = client.chat.completions.parse(model=model, messages=HI, response_format=League).choices[0].message.parsed
    assert isinstance(parsed, League)
    with client.chat.completions.stream(model=model, messages=HI, response_format=League) as stream:
        streamed = stream.get_final_completion().choices[0].message.parsed
    assert streamed == parsed


def test_a_parsed_tool_call(client):
    class Weather(pydantic.BaseModel):
        city: str
        days: int

    import openai

    tool = openai.pydantic_function_tool(Weather, name="get_weather")
    answer = client.chat.completions.parse(model="sandbox", messages=echo("call get_weather"), tools=[tool])
    assert isinstance(answer.choices[0].message.tool_calls[0].function.parsed_arguments, Weather)


def test_a_refusal(client):
    answer = client.chat.completions.parse(model="scripted/refusal", messages=HI, response_format=League)
    assert answer.choices[0].message.refusal == "I will not do that."
    assert answer.choices[0].message.parsed is None


def test_images(client, vendor):
    pixel = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    content = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": pixel, "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/ship.png"}},
    ]
    answer = client.chat.completions.create(model="scripted/vision", messages=[{"role": "user", "content": content}])
    assert answer.choices[0].message.content == "2 images, the first is data:image/png;base64,"
    assert vendor.last()["body"]["messages"][0]["content"] == content
    answer = client.chat.completions.create(model="sandbox", messages=[{"role": "user", "content": content[:2]}])
    assert answer.choices[0].message.content


def test_reasoning(client, vendor, entry):
    answer = client.chat.completions.create(model="scripted/reasoning", messages=HI, reasoning_effort="low")
    assert answer.usage.completion_tokens_details.reasoning_tokens == 30
    assert vendor.last()["body"]["reasoning_effort"] == "low"
    recorded = entry(answer._request_id)
    assert recorded["usage"] == {"input": 12, "output": 10, "reasoning": 30}
    answer = client.chat.completions.create(model="sandbox", messages=HI, reasoning_effort="high")
    assert answer.usage.completion_tokens_details.reasoning_tokens > 0
    answer = client.chat.completions.create(model="sandbox", messages=HI, reasoning_effort="none")
    assert not (answer.usage.completion_tokens_details and answer.usage.completion_tokens_details.reasoning_tokens)


def test_cached_tokens(client, entry):
    answer = client.chat.completions.create(model="scripted/cached", messages=HI)
    assert answer.usage.prompt_tokens_details.cached_tokens == 900
    assert entry(answer._request_id)["usage"] == {"input": 100, "cache_read": 900, "output": 5}


def test_logprobs(client):
    answer = client.chat.completions.create(model="scripted/any", messages=HI, logprobs=True, top_logprobs=2)
    assert answer.choices[0].logprobs.content[0].token == "You said: "
    chunks = client.chat.completions.create(model="scripted/any", messages=HI, logprobs=True, stream=True)
    tokens = [token.token for chunk in chunks if chunk.choices[0].logprobs for token in chunk.choices[0].logprobs.content]
    assert "".join(tokens) == "You said: hi"


def test_several_choices(client):
    answer = client.chat.completions.create(model="scripted/many", messages=HI, n=3)
    assert [choice.message.content for choice in answer.choices] == ["choice 0", "choice 1", "choice 2"]
    texts = ["", "", ""]
    for chunk in client.chat.completions.create(model="scripted/many", messages=HI, n=3, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert texts == ["choice 0", "choice 1", "choice 2"]
    assert len(client.chat.completions.create(model="sandbox", messages=HI, n=2).choices) == 2


def test_embeddings(client, vendor):
    answer = client.embeddings.create(model="scripted/e", input=["one", "two"])
    assert vendor.last()["body"]["encoding_format"] == "base64", "the SDK's default"
    assert [row.embedding for row in answer.data] == [[0.5, -1.0, 0.25]] * 2
    assert answer.usage.prompt_tokens == 8
    answer = client.embeddings.create(model="scripted/e", input="one", encoding_format="float", dimensions=3)
    assert answer.data[0].embedding == [0.5, -1.0, 0.25]
    assert vendor.last()["body"] == {"model": "e", "input": "one", "encoding_format": "float", "dimensions": 3}


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


def test_models(client):
    listed = [model.id for model in client.models.list()]
    assert "sandbox" in listed and "fault-429" in listed
    assert client.models.retrieve("sandbox").id == "sandbox"
    assert client.models.retrieve("scripted/any").id == "scripted/any"


def test_request_ids(client, entry):
    answer = client.chat.completions.create(model="sandbox", messages=HI)
    assert answer._request_id.startswith("req_")
    raw = client.chat.completions.with_raw_response.create(model="sandbox", messages=HI)
    assert raw.request_id == raw.headers["x-steelyard-request-id"]
    assert entry(raw.request_id)["channel"] == "sandbox"
    assert client.models.list()._request_id.startswith("req_")
