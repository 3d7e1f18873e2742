// Whole answers, streams, tools, structured output and embeddings, as the SDK's users write them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { HI, client, echo, entry, vendor, weather } from "../setup.js";

const League = z.object({ name: z.string(), cities: z.array(z.string()), year: z.number().int() });

for (const model of ["sandbox", "scripted/any"]) {
  test(`whole: ${model}`, async () => {
    const answer = await client.chat.completions.create({ model, messages: HI });
    assert.equal(answer.object, "chat.completion");
    assert.ok(answer.choices[0].message.content);
    assert.equal(answer.choices[0].finish_reason, "stop");
    assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
    assert.match(answer._request_id, /^req_/);
    const recorded = await entry(answer._request_id);
    assert.deepEqual([recorded.outcome, recorded.principal], ["ok", "sdk"]);
  });

  test(`stream: ${model}`, async () => {
    const chunks = [];
    for await (const chunk of await client.chat.completions.create({ model, messages: HI, stream: true })) chunks.push(chunk);
    assert.ok(chunks.length > 3);
    // Naive clients index choices[0] of every chunk.
    assert.ok(chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""));
    assert.ok(chunks.every((chunk) => chunk.usage === undefined || chunk.usage === null));
    assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
  });

  test(`stream with usage: ${model}`, async () => {
    const { data, response } = await client.chat.completions
      .create({ model, messages: HI, stream: true, stream_options: { include_usage: true } })
      .withResponse();
    const chunks = [];
    for await (const chunk of data) chunks.push(chunk);
    assert.deepEqual(chunks.at(-1).choices, []);
    const recorded = await entry(response.headers.get("x-steelyard-request-id"));
    assert.equal(recorded.usage.output, chunks.at(-1).usage.completion_tokens);
  });
}

test("what the vendor gets", async () => {
  await vendor.reset();
  await client.chat.completions.create({ model: "scripted/any", messages: HI, temperature: 0.5, seed: 7 });
  const { headers, body } = await vendor.last();
  assert.deepEqual(body, { model: "any", messages: HI, temperature: 0.5, seed: 7 });
  assert.equal(headers.authorization, "Bearer vendor-key");
  assert.ok(!Object.keys(headers).some((name) => name.startsWith("x-stainless")));
});

test("the stream helper", async () => {
  const stream = client.chat.completions.stream({ model: "scripted/any", messages: echo("one two three") });
  const deltas = [];
  stream.on("content", (delta) => deltas.push(delta));
  assert.equal(await stream.finalContent(), "You said: one two three");
  assert.equal(deltas.join(""), "You said: one two three");
  assert.equal((await stream.finalChatCompletion()).choices[0].finish_reason, "stop");
});

for (const model of ["sandbox", "scripted/tools"]) {
  test(`a tool loop: ${model}`, async () => {
    const tools = [weather("get_weather"), weather("get_tide")];
    const messages = echo("please call get_weather and call get_tide");
    const answer = await client.chat.completions.create({ model, messages, tools });
    const calls = answer.choices[0].message.tool_calls;
    assert.deepEqual(calls.map((call) => call.function.name), ["get_weather", "get_tide"]);
    assert.equal(answer.choices[0].finish_reason, "tool_calls");
    messages.push(answer.choices[0].message);
    for (const call of calls) {
      assert.equal(typeof JSON.parse(call.function.arguments).city, "string");
      messages.push({ role: "tool", tool_call_id: call.id, content: `seven by ${call.function.name}` });
    }
    const told = await client.chat.completions.create({ model, messages, tools });
    assert.match(told.choices[0].message.content, /seven by get_weather[^]*seven by get_tide/);
  });

  test(`parallel tools in a stream: ${model}`, async () => {
    const stream = client.chat.completions.stream({
      model,
      messages: echo("call get_weather and call get_tide"),
      tools: [weather("get_weather"), weather("get_tide")],
    });
    const calls = (await stream.finalMessage()).tool_calls;
    assert.deepEqual(calls.map((call) => call.function.name), ["get_weather", "get_tide"]);
    assert.notEqual(calls[0].id, calls[1].id);
    for (const call of calls) assert.equal(typeof JSON.parse(call.function.arguments).city, "string");
  });
}

for (const stream of [false, true]) {
  test(`the tool runner, stream: ${stream}`, async () => {
    const asked = [];
    const runner = client.chat.completions.runTools({
      model: "sandbox",
      stream,
      messages: echo("call get_weather"),
      tools: [
        zodFunction({
          name: "get_weather",
          parameters: z.object({ city: z.string() }),
          function: (given) => {
            asked.push(given);
            return "seven degrees";
          },
        }),
      ],
    });
    assert.match(await runner.finalContent(), /seven degrees/);
    assert.equal(asked.length, 1);
    assert.equal(typeof asked[0].city, "string");
  });
}

for (const model of ["sandbox", "scripted/structured"]) {
  test(`structured output: ${model}`, async () => {
    const response_format = zodResponseFormat(League, "league");
    const whole = await client.chat.completions.parse({ model, messages: HI, response_format });
    assert.ok(League.safeParse(whole.choices[0].message.parsed).success);
    const streamed = await client.chat.completions.stream({ model, messages: HI, response_format }).finalMessage();
    assert.deepEqual(streamed.parsed, whole.choices[0].message.parsed);
  });
}

test("a refusal", async () => {
  const response_format = zodResponseFormat(League, "league");
  const answer = await client.chat.completions.parse({ model: "scripted/refusal", messages: HI, response_format });
  assert.equal(answer.choices[0].message.refusal, "I will not do that.");
});

test("images", async () => {
  const content = [
    { type: "text", text: "what is this?" },
    { type: "image_url", image_url: { url: "data:image/png;base64,iVBORw0KGgo=" } },
  ];
  const answer = await client.chat.completions.create({ model: "scripted/vision", messages: [{ role: "user", content }] });
  assert.equal(answer.choices[0].message.content, "1 images, the first is data:image/png;base64,");
});

test("reasoning", async () => {
  const answer = await client.chat.completions.create({ model: "scripted/reasoning", messages: HI, reasoning_effort: "low" });
  assert.equal(answer.usage.completion_tokens_details.reasoning_tokens, 30);
  assert.deepEqual((await entry(answer._request_id)).usage, { input: 12, output: 10, reasoning: 30 });
  const sandbox = await client.chat.completions.create({ model: "sandbox", messages: HI, reasoning_effort: "high" });
  assert.ok(sandbox.usage.completion_tokens_details.reasoning_tokens > 0);
});

test("logprobs and several choices", async () => {
  const logged = await client.chat.completions.create({ model: "scripted/any", messages: HI, logprobs: true });
  assert.equal(logged.choices[0].logprobs.content[0].token, "You said: ");
  const many = await client.chat.completions.create({ model: "scripted/many", messages: HI, n: 3 });
  assert.deepEqual(many.choices.map((choice) => choice.message.content), ["choice 0", "choice 1", "choice 2"]);
  const texts = ["", "", ""];
  for await (const chunk of await client.chat.completions.create({ model: "scripted/many", messages: HI, n: 3, stream: true })) {
    texts[chunk.choices[0].index] += chunk.choices[0].delta.content ?? "";
  }
  assert.deepEqual(texts, ["choice 0", "choice 1", "choice 2"]);
});

test("embeddings", async () => {
  await vendor.reset();
  const decoded = await client.embeddings.create({ model: "scripted/e", input: ["one", "two"] });
  assert.equal((await vendor.last()).body.encoding_format, "base64", "the SDK's default");
  assert.deepEqual(decoded.data.map((row) => [...row.embedding]), [[0.5, -1, 0.25], [0.5, -1, 0.25]]);
  const floats = await client.embeddings.create({ model: "scripted/e", input: "one", encoding_format: "float" });
  assert.deepEqual(floats.data[0].embedding, [0.5, -1, 0.25]);
  const sandbox = await client.embeddings.create({ model: "sandbox", input: ["one", "two"] });
  const same = await client.embeddings.create({ model: "sandbox", input: ["one", "two"], encoding_format: "float" });
  for (const row of [0, 1]) {
    const [left, right] = [sandbox.data[row].embedding, same.data[row].embedding];
    assert.equal(left.length, right.length);
    left.forEach((value, index) => assert.ok(Math.abs(value - right[index]) < 1e-5));
  }
});

test("models", async () => {
  const listed = [];
  for await (const model of client.models.list()) listed.push(model.id);
  assert.ok(listed.includes("sandbox") && listed.includes("fault-429"));
  assert.equal((await client.models.retrieve("sandbox")).id, "sandbox");
  assert.equal((await client.models.retrieve("scripted/any")).id, "scripted/any");
});

test("many at once", async () => {
  const one = async (number) => {
    const stream = client.chat.completions.stream({ model: "scripted/any", messages: echo(`number ${number}`) });
    return stream.finalContent();
  };
  const numbers = Array.from({ length: 50 }, (_, number) => number);
  assert.deepEqual(await Promise.all(numbers.map(one)), numbers.map((number) => `You said: number ${number}`));
});
