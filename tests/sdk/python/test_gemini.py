"""The `google-genai` package on every vendor's wire: what its users write, and what they catch."""

import asyncio

import pydantic
import pytest
from conftest import HANSA, RECORDED, SCHEMA, STEELYARD, WIRES, Vendor, manage
from google import genai
from google.genai import errors, types

CLIENT = "py-gemini"
OWN_AND_OTHERS = [*WIRES, "gemini"]


@pytest.fixture(params=OWN_AND_OTHERS)
def wire(request):
    """The wire of the vendor behind, Google's own among them."""
    return request.param


@pytest.fixture
def vendor(wire):
    return Vendor(wire)


@pytest.fixture(scope="module")
def client():
    """Configured as users do it: by GOOGLE_GEMINI_BASE_URL and GEMINI_API_KEY."""
    with genai.Client() as client:
        yield client


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def ask(request, client):
    """Asks, whole or streamed, and gives the texts, the calls and the last answer."""

    def ask(model, contents="hi", **config):
        config = types.GenerateContentConfig(**config)
        if request.param:
            answers = list(client.models.generate_content_stream(model=model, contents=contents, config=config))
        else:
            answers = [client.models.generate_content(model=model, contents=contents, config=config)]
        parts = [part for answer in answers for part in answer.candidates[0].content.parts or []]
        text = "".join(part.text for part in parts if part.text and not part.thought)
        calls = [part.function_call for part in parts if part.function_call]
        return text, calls, answers[-1]

    return ask


def recorded(answer):
    """The headers of the last answer say which entry is its own."""
    request_id = answer.sdk_http_response.headers["x-steelyard-request-id"]
    return request_id


def test_echo(ask, wire, entry):
    text, _, last = ask(f"{wire}/any", "one two three")
    assert text == "You said: one two three"
    assert last.candidates[0].finish_reason == types.FinishReason.STOP
    used = last.usage_metadata
    assert (used.prompt_token_count, used.candidates_token_count, used.total_token_count) == (10, 5, 15)
    found = entry(recorded(last))
    assert (found["outcome"], found["principal"], found["basis"]) == ("ok", "sdk", "reported")


def test_echo_of_the_sandbox(ask):
    text, _, last = ask("sandbox")
    assert text and last.usage_metadata.total_token_count > 0


def test_the_model_and_the_options_reach_the_vendor(ask, wire, vendor):
    ask(f"{wire}/any", system_instruction="Be brief.", temperature=0.5, top_p=0.9, max_output_tokens=64, stop_sequences=["END"])
    sent = str(vendor.last()["body"])
    for word in ["Be brief.", "0.5", "0.9", "64", "END"]:
        assert word in sent, word


def test_tools(ask, wire):
    city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    declared = [types.FunctionDeclaration(name=name, description="of a city", parameters_json_schema=city) for name in ["get_weather", "get_tide"]]
    tools = [types.Tool(function_declarations=declared)]
    _, calls, last = ask(f"{wire}/tools", tools=tools)
    assert [(call.name, call.args) for call in calls] == [("get_weather", {"city": "Lübeck"}), ("get_tide", {"city": "Lübeck"})]
    # Sent back as users do it: the model's turn as it came, and results by name.
    turn = types.Content(role="model", parts=[types.Part(function_call=call) for call in calls])
    results = [types.Part.from_function_response(name=call.name, response={"output": word}) for call, word in zip(calls, ["rain", "high"])]
    contents = [types.UserContent("hi"), turn, types.Content(role="user", parts=results)]
    text, _, _ = ask(f"{wire}/tools", contents, tools=tools)
    assert text == "The tools say: rain; high"


def test_functions_are_called_by_the_sdk_itself(client, wire, vendor):
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"rain in {len(city)} letters"

    config = types.GenerateContentConfig(tools=[get_weather])
    answer = client.models.generate_content(model=f"{wire}/tools", contents="hi", config=config)
    assert answer.text.startswith("The tools say")
    assert "rain in 6 letters" in str(vendor.last()["body"])


class Port(pydantic.BaseModel):
    name: str
    cities: list[str]
    year: int


def test_structured_output(client, wire):
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Port)
    answer = client.models.generate_content(model=f"{wire}/structured", contents="hi", config=config)
    assert answer.parsed == Port(**HANSA)
    config = types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=SCHEMA)
    answer = client.models.generate_content(model=f"{wire}/structured", contents="hi", config=config)
    assert answer.parsed == HANSA


def test_chats_and_asynchronous_streams(client, wire):
    async def main():
        texts = []
        chat = client.aio.chats.create(model=f"{wire}/any")
        for words in ["one", "two"]:
            async for answer in await chat.send_message_stream(words):
                texts.append(answer.text or "")
            texts.append("|")
        return "".join(texts)

    assert asyncio.run(main()) == "You said: one|You said: two|"


@pytest.mark.parametrize("kind", ["400", "401", "404", "429", "500", "503"])
def test_errors(client, wire, fault, kind, entry):
    expected = {"400": (400, "INVALID_ARGUMENT"), "429": (429, "RESOURCE_EXHAUSTED")}
    with pytest.raises(errors.APIError) as caught:
        client.models.generate_content(model=fault(kind), contents="hi")
    error = caught.value
    # What is ours or the vendor's to mend is no fault of the caller's.
    code, status = expected.get(kind, (None, None))
    if code:
        assert (error.code, error.status) == (code, status), error
        assert isinstance(error, errors.ClientError)
    elif kind != "404":
        assert error.code >= 500 and isinstance(error, errors.ServerError), error
    own = error.details["error"]["steelyard"]
    assert own["code"].startswith("SY")
    if kind in RECORDED:
        assert entry(own["request_id"])["outcome"] == "upstream_error"


def test_a_stream_that_breaks_is_an_error(client, wire, fault):
    for kind in ["stream-error", "stream-cut"]:
        said = []
        with pytest.raises(errors.APIError):
            for answer in client.models.generate_content_stream(model=fault(kind), contents="hi"):
                said.append(answer.text)
        assert "".join(said) == "one two ", kind


def test_a_wrong_key_and_an_unknown_model():
    with genai.Client(api_key="wrong") as stranger, pytest.raises(errors.ClientError) as caught:
        stranger.models.generate_content(model="sandbox", contents="hi")
    assert (caught.value.code, caught.value.status) == (401, "UNAUTHENTICATED")
    with genai.Client() as client, pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model="nobody", contents="hi")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


def test_models_are_listed(client):
    names = [model.name for model in client.models.list()]
    assert "models/sandbox" in names
    assert client.models.get(model="sandbox").name == "models/sandbox"


def test_the_base_is_a_prefix_too(client):
    options = types.HttpOptions(base_url=f"{STEELYARD}/gemini")
    with genai.Client(http_options=options) as prefixed:
        answer = prefixed.models.generate_content(model="gemini/any", contents="hi")
    assert answer.text == "You said: hi"
    assert manage("GET", "/ledger/entries?limit=1")["data"]
