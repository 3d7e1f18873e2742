"""Errors arrive as the exception classes that the SDK's users catch."""

import openai
import pytest

HI = [{"role": "user", "content": "hi"}]


def ask(client, model, **more):
    return client.chat.completions.create(model=model, messages=HI, **more)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "model, kind, status",
    [
        ("fault-400", openai.BadRequestError, 400),
        ("fault-422", openai.UnprocessableEntityError, 422),
        ("fault-404", openai.NotFoundError, 404),
        ("fault-429", openai.RateLimitError, 429),
        ("fault-500", openai.InternalServerError, 502),
        ("fault-503", openai.InternalServerError, 502),
        # A vendor that refuses Steelyard's own key is not the caller's mistake.
        ("fault-401", openai.InternalServerError, 502),
        ("fault-403", openai.InternalServerError, 502),
    ],
)
def test_by_status(client, entry, model, kind, status, stream):
    with pytest.raises(kind) as caught:
        ask(client, model, stream=stream)
    error = caught.value
    assert error.status_code == status
    assert error.message and error.type
    assert isinstance(error.body, dict)
    assert error.request_id.startswith("req_")
    recorded = entry(error.request_id)
    assert recorded["outcome"] == "upstream_error"


def test_the_vendors_own_words(client):
    with pytest.raises(openai.BadRequestError, match="the vendor's own words for 400"):
        ask(client, "fault-400")


def test_a_wrong_key():
    for key in ["wrong", "sk-proj-0123456789"]:
        with pytest.raises(openai.AuthenticationError) as caught:
            ask(openai.OpenAI(api_key=key, max_retries=0), "sandbox")
        assert caught.value.code == "invalid_api_key"
        assert key not in str(caught.value)
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(api_key="wrong", max_retries=0).models.list()


def test_an_unknown_model(client):
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, "sandbix")
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    assert "sandbox" in caught.value.message
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("sandbix")
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="sandbix", input="x")


def test_a_bad_request(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="sandbox", messages="hi")
    assert caught.value.type == "invalid_request_error"


def test_an_unknown_path(client):
    with pytest.raises(openai.NotFoundError):
        client.fine_tuning.jobs.list()


@pytest.mark.parametrize("model, text, words", [("fault-stream-error", "one two ", "engine failed"), ("fault-stream-cut", "one two ", "incomplete")])
def test_in_the_middle_of_a_stream(client, model, text, words):
    got = ""
    with pytest.raises(openai.APIError, match=words):
        for chunk in ask(client, model, stream=True):
            got += chunk.choices[0].delta.content or ""
    assert got == text


def test_retries_of_the_sdk(vendor):
    client = openai.OpenAI(max_retries=2)
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client, "fault-429")
    assert caught.value.response.headers["retry-after-ms"] == "20"
    assert len(vendor.requests()) == 3, "the SDK asks again, and each time one request goes upstream"


def test_a_timeout_of_the_sdk_cancels_upstream(client, vendor, entry):
    with pytest.raises(openai.APITimeoutError):
        ask(client.with_options(timeout=0.5), "fault-hang")
    vendor.becomes(aborted=1, answering=0)


def test_leaving_a_stream_cancels_upstream(client, vendor, entry):
    raw = client.chat.completions.with_raw_response.create(model="scripted/slow", messages=HI, stream=True)
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
