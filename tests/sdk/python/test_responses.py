"""`client.responses` of the `openai` package on every vendor's wire: what its users write, and what they catch."""

import asyncio
import json

import openai
import pydantic
import pytest
from conftest import CITY, PIXEL, WIRES, Vendor

CLIENT = "py-responses"
# Relayed, and translated to each wire.
CHANNELS = ["responses", *WIRES, "gemini"]
SANDBOX_AND_CHANNELS = ["sandbox", *(f"{channel}/any" for channel in CHANNELS)]


class League(pydantic.BaseModel):
    name: str
    cities: list[str]
    year: int


HANSA = League(name="Hansa", cities=["Lübeck", "Bergen"], year=1356)
TOOLS = [
    {"type": "function", "name": name, "description": f"{name} of a city", "parameters": CITY, "strict": True}
    for name in ("get_weather", "get_tide")
]


@pytest.fixture(scope="module")
def client():
    """Configured as users do it: by OPENAI_BASE_URL and OPENAI_API_KEY."""
    with openai.OpenAI(max_retries=0) as client:
        yield client


@pytest.fixture(params=CHANNELS)
def channel(request):
    return request.param


@pytest.mark.parametrize("model", SANDBOX_AND_CHANNELS)
def test_whole(client, model, entry):
    answer = client.responses.create(model=model, input="hi", instructions="Be brief.")
    assert (answer.object, answer.status) == ("response", "completed")
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert answer.usage.input_tokens_details.cached_tokens == 0
    assert answer.usage.output_tokens_details.reasoning_tokens == 0
    if model != "sandbox":
        assert answer.output_text == "You said: hi"
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (10, 5)
    recorded = entry(answer._request_id)
    assert (recorded["outcome"], recorded["principal"], recorded["basis"]) == ("ok", "sdk", "reported")


@pytest.mark.parametrize("model", [model for model in SANDBOX_AND_CHANNELS if not model.startswith("responses")])
def test_an_answer_repeats_its_request(client, model):
    answer = client.responses.create(
        model=model, input="hi", instructions="Be brief.", temperature=0.5, metadata={"a": "b"}, tools=TOOLS
    )
    assert (answer.instructions, answer.temperature, answer.metadata) == ("Be brief.", 0.5, {"a": "b"})
    assert [tool.name for tool in answer.tools] == ["get_weather", "get_tide"]
    assert (answer.tool_choice, answer.parallel_tool_calls, answer.top_p) == ("auto", True, 1.0)
    assert (answer.truncation, answer.text.format.type, answer.error) == ("disabled", "text", None)
    assert answer.model_extra.get("store", True) is True


@pytest.mark.parametrize("model", SANDBOX_AND_CHANNELS)
def test_stream(client, model):
    events = list(client.responses.create(model=model, input="one two three", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1].type == "response.completed"
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text
    assert text == "You said: one two three" or model == "sandbox"
    assert events[-1].response.usage.total_tokens > 0


def test_the_stream_helper(client, channel):
    with client.responses.stream(model=f"{channel}/any", input="one two three") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(deltas) == final.output_text == "You said: one two three"


def test_async_stream(channel):
    async def main():
        async with openai.AsyncOpenAI(max_retries=0) as client:
            stream = await client.responses.create(model=f"{channel}/any", input="hi", stream=True)
            return [event async for event in stream]

    assert asyncio.run(main())[-1].response.output_text == "You said: hi"


def test_structured_output(client, channel):
    answer = client.responses.parse(model=f"{channel}/structured", input="hi", text_format=League)
    assert answer.output_parsed == HANSA


@pytest.mark.parametrize("streamed", [False, True])
def test_a_loop_of_tools(client, channel, streamed):
    model = f"{channel}/tools"

    def ask(given):
        if not streamed:
            return client.responses.create(model=model, input=given, tools=TOOLS)
        with client.responses.stream(model=model, input=given, tools=TOOLS) as stream:
            for _ in stream:
                pass
            return stream.get_final_response()

    given = [{"role": "user", "content": "How is it?"}]
    answer = ask(given)
    calls = [item for item in answer.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["get_weather", "get_tide"]
    assert all(json.loads(call.arguments) == {"city": "Lübeck"} for call in calls)
    # As the SDK's own guide has it: the items of the answer go back as they are.
    given += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in answer.output]
    given += [
        {"type": "function_call_output", "call_id": call.call_id, "output": f"{call.name}: fine"} for call in calls
    ]
    assert ask(given).output_text == "The tools say: get_weather: fine; get_tide: fine"


def test_pictures(client, channel):
    given = [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is it?"},
                {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{PIXEL}"},
            ],
        }
    ]
    answer = client.responses.create(model=f"{channel}/vision", input=given)
    assert answer.output_text == "1 images, the first is data:image/png;base64,"


@pytest.mark.parametrize("model", ["anthropic/reasoning", "bedrock/anthropic.claude-reasoning"])
def test_thoughts_go_back_to_whom_they_came_from(client, model):
    vendor = Vendor(model.split("/")[0])
    answer = client.responses.create(
        model=model, input="hi", reasoning={"effort": "high", "summary": "auto"}, include=["reasoning.encrypted_content"]
    )
    thought, said = answer.output
    assert (thought.type, thought.summary[0].text, said.type) == ("reasoning", "Let me think.", "message")
    assert answer.usage.output_tokens_details.reasoning_tokens == (30 if model.startswith("anthropic") else 0)
    given = [{"role": "user", "content": "hi"}, *(item.model_dump(exclude_none=True) for item in answer.output)]
    client.responses.create(model=model, input=[*given, {"role": "user", "content": "Sure?"}])
    assert "c2lnbmVk" in json.dumps(vendor.last()["body"])


def test_an_answer_that_is_cut_off(client, channel):
    answer = client.responses.create(model=f"{channel}/length", input="hi")
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")


@pytest.mark.parametrize("given", [{"previous_response_id": "resp_1"}, {"background": True}])
def test_what_is_not_there_is_refused(client, given):
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="responses/any", input="hi", **given)
    assert caught.value.param in given
    if "background" not in given:
        assert caught.value.code == "previous_response_not_found"


@pytest.mark.parametrize("model", SANDBOX_AND_CHANNELS)
def test_an_answer_is_kept_until_it_is_deleted(client, model):
    answer = client.responses.create(model=model, input="hi")
    assert client.responses.retrieve(answer.id) == answer
    items = list(client.responses.input_items.list(answer.id))
    assert [(item.role, item.content[0].text) for item in items] == [("user", "hi")]
    client.responses.delete(answer.id)
    for ask in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
        with pytest.raises(openai.NotFoundError):
            ask(answer.id)
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(client.responses.create(model=model, input="hi").id)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_call_goes_on_from_an_earlier_one(client, channel, streamed):
    def ask(**given):
        if not streamed:
            return client.responses.create(model=f"{channel}/any", **given)
        with client.responses.stream(model=f"{channel}/any", **given) as stream:
            return stream.until_done().get_final_response()

    first = ask(input="one", instructions="Be brief.")
    second = ask(input="two", previous_response_id=first.id)
    assert (second.output_text, second.previous_response_id) == ("You said: two", first.id)
    assert client.responses.retrieve(second.id).output_text == "You said: two"
    # Page by page, the newest first.
    items = list(client.responses.input_items.list(second.id, limit=1))
    assert [item.content[0].text for item in items] == ["two", "You said: one", "one"]
    items = client.responses.input_items.list(second.id, order="asc").data
    assert [(item.role, item.content[0].type) for item in items] == [
        ("user", "input_text"), ("assistant", "output_text"), ("user", "input_text")
    ]


def test_a_loop_of_tools_that_sends_the_results_alone(client, channel):
    answer = client.responses.create(model=f"{channel}/tools", input="How is it?", tools=TOOLS)
    calls = [item for item in answer.output if item.type == "function_call"]
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": f"{call.name}: fine"} for call in calls]
    answer = client.responses.create(
        model=f"{channel}/tools", input=results, tools=TOOLS, previous_response_id=answer.id
    )
    assert answer.output_text == "The tools say: get_weather: fine; get_tide: fine"


@pytest.mark.parametrize("model", ["anthropic/reasoning", "bedrock/anthropic.claude-reasoning"])
def test_thoughts_are_kept_for_whom_they_came_from(client, model):
    vendor = Vendor(model.split("/")[0])
    answer = client.responses.create(model=model, input="hi", reasoning={"effort": "high"})
    client.responses.create(model=model, input="Sure?", reasoning={"effort": "high"}, previous_response_id=answer.id)
    assert "c2lnbmVk" in json.dumps(vendor.last()["body"])


def test_a_conversation(client, channel):
    user = {"type": "message", "role": "user", "content": "zero"}
    said = {"type": "message", "role": "assistant", "content": "nil"}
    conversation = client.conversations.create(items=[user, said], metadata={"topic": "Hansa"})
    assert (conversation.object, conversation.metadata) == ("conversation", {"topic": "Hansa"})
    for text in ("one", "two"):
        answer = client.responses.create(model=f"{channel}/any", input=text, conversation=conversation.id)
        assert (answer.output_text, answer.conversation.id) == (f"You said: {text}", conversation.id)
    with client.responses.stream(model=f"{channel}/any", input="three", conversation=conversation.id) as stream:
        assert stream.until_done().get_final_response().output_text == "You said: three"
    items = list(client.conversations.items.list(conversation.id, limit=3, order="asc"))
    said = [item.content[0].text for item in items]
    assert said == ["zero", "nil", "one", "You said: one", "two", "You said: two", "three", "You said: three"]
    added = client.conversations.items.create(conversation.id, items=[user])
    assert client.conversations.items.retrieve(added.data[0].id, conversation_id=conversation.id) == added.data[0]
    left = client.conversations.items.delete(added.data[0].id, conversation_id=conversation.id)
    assert left == client.conversations.retrieve(conversation.id)
    assert client.conversations.update(conversation.id, metadata={"a": "b"}).metadata == {"a": "b"}
    assert client.conversations.delete(conversation.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(conversation.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model=f"{channel}/any", input="hi", conversation=conversation.id)


def test_tokens_are_counted(client, channel):
    alone = client.responses.input_tokens.count(model=f"{channel}/any", input="one two three")
    assert (alone.object, alone.input_tokens > 0) == ("response.input_tokens", True)
    answer = client.responses.create(model=f"{channel}/any", input="one two three")
    more = client.responses.input_tokens.count(model=f"{channel}/any", input="x", previous_response_id=answer.id)
    assert more.input_tokens > alone.input_tokens


def test_what_is_not_to_be_stored_is_not(client, channel):
    answer = client.responses.create(model=f"{channel}/any", input="hi", store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(answer.id)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=f"{channel}/any", input="hi", previous_response_id=answer.id)
    assert caught.value.code == "previous_response_not_found"


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("kind", "error"),
    [("400", openai.BadRequestError), ("429", openai.RateLimitError), ("500", openai.InternalServerError)],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_faults(client, fault, kind, error, streamed):
    with pytest.raises(error):
        client.responses.create(model=fault(kind), input="hi", stream=streamed)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("kind", ["stream-error", "stream-cut"])
def test_a_stream_that_breaks_raises(client, fault, kind):
    said = []
    with pytest.raises(openai.APIError):
        for event in client.responses.create(model=fault(kind), input="hi", stream=True):
            said.append(event)
    assert all(event.type != "response.completed" for event in said)
