"""The asynchronous client."""

import asyncio

import openai
import pydantic
import pytest

HI = [{"role": "user", "content": "hi"}]


class League(pydantic.BaseModel):
    name: str
    cities: list[str]
    year: int


def test_whole_and_stream(run):
    async def body(client):
        whole = await client.chat.completions.create(model="sandbox", messages=HI)
        stream = await client.chat.completions.create(model="sandbox", messages=HI, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        return whole, text

    whole, text = run(body)
    assert text == whole.choices[0].message.content
    assert whole._request_id.startswith("req_")


def test_many_at_once(run):
    async def body(client):
        async def one(number):
            messages = [{"role": "user", "content": f"number {number}"}]
            stream = await client.chat.completions.create(model="scripted/any", messages=messages, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        return await asyncio.gather(*(one(number) for number in range(50)))

    assert run(body) == [f"You said: number {number}" for number in range(50)]


def test_helpers(run):
    async def body(client):
        parsed = await client.chat.completions.parse(model="sandbox", messages=HI, response_format=League)
        async with client.chat.completions.stream(model="scripted/structured", messages=HI, response_format=League) as stream:
            streamed = await stream.get_final_completion()
        embedded = await client.embeddings.create(model="scripted/e", input="x")
        models = [model.id async for model in client.models.list()]
        return parsed, streamed, embedded, models

    parsed, streamed, embedded, models = run(body)
    assert isinstance(parsed.choices[0].message.parsed, League)
    assert streamed.choices[0].message.parsed == League(name="Hansa", cities=["Lübeck", "Bergen"], year=1356)
    assert embedded.data[0].embedding == [0.5, -1.0, 0.25]
    assert "sandbox" in models


def test_errors(run):
    async def body(client):
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model="fault-429", messages=HI)
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="nowhere", messages=HI)
        stream = await client.chat.completions.create(model="fault-stream-error", messages=HI, stream=True)
        with pytest.raises(openai.APIError, match="engine failed"):
            async for _ in stream:
                pass

    run(body)


def test_cancelling_a_task_cancels_upstream(run, vendor):
    async def body(client):
        async def read():
            stream = await client.chat.completions.create(model="scripted/slow", messages=HI, stream=True)
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
