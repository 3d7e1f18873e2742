// `client.responses` of the `openai` package on every vendor's wire: what its users write, and what they catch.

import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { CITY, HANSA, WIRES, caught, entry } from "../setup.js";

/** Configured as users do it: by OPENAI_BASE_URL and OPENAI_API_KEY. */
const client = new OpenAI({ maxRetries: 0 });
const League = z.object({ name: z.string(), cities: z.array(z.string()), year: z.number().int() });
const TOOLS = ["get_weather", "get_tide"].map((name) => ({ type: "function", name, strict: true, parameters: CITY }));
// Relayed, and translated to each wire.
const CHANNELS = ["responses", ...WIRES, "gemini"];
const create = (model, more = {}) => client.responses.create({ model, input: "hi", ...more });

async function collect(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

for (const model of ["sandbox", ...CHANNELS.map((channel) => `${channel}/any`)]) {
  test(`whole: ${model}`, async () => {
    const answer = await create(model);
    assert.deepEqual([answer.object, answer.status], ["response", "completed"]);
    assert.ok(model === "sandbox" || answer.output_text === "You said: hi");
    assert.equal(answer.usage.total_tokens, answer.usage.input_tokens + answer.usage.output_tokens);
    const recorded = await entry(answer._request_id);
    assert.deepEqual([recorded.outcome, recorded.principal], ["ok", "sdk"]);
  });

  test(`stream: ${model}`, async () => {
    const events = await collect(await create(model, { stream: true }));
    assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
    const last = events.at(-1);
    assert.equal(last.type, "response.completed");
    const text = events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta).join("");
    assert.ok(model === "sandbox" || text === "You said: hi");
    assert.equal(last.response.output.at(-1).content[0].text, text);
  });
}

for (const channel of CHANNELS) {
  test(`the stream helper: ${channel}`, async () => {
    const stream = client.responses.stream({ model: `${channel}/any`, input: "one two three" });
    assert.equal((await stream.finalResponse()).output_text, "You said: one two three");
  });

  test(`structured output: ${channel}`, async () => {
    const text = { format: zodTextFormat(League, "league") };
    const answer = await client.responses.parse({ model: `${channel}/structured`, input: "hi", text });
    assert.deepEqual(answer.output_parsed, HANSA);
  });

  test(`a loop of tools: ${channel}`, async () => {
    const model = `${channel}/tools`;
    const input = [{ role: "user", content: "How is it?" }];
    const answer = await client.responses.create({ model, input, tools: TOOLS });
    const calls = answer.output.filter((item) => item.type === "function_call");
    assert.deepEqual(calls.map((call) => call.name), ["get_weather", "get_tide"]);
    input.push(...answer.output);
    input.push(...calls.map(({ call_id, name }) => ({ type: "function_call_output", call_id, output: `${name}: fine` })));
    const told = await client.responses.create({ model, input, tools: TOOLS });
    assert.equal(told.output_text, "The tools say: get_weather: fine; get_tide: fine");
  });
}

for (const wire of WIRES) {
  test(`faults: ${wire}`, async () => {
    for (const [kind, kinds] of [["400", OpenAI.BadRequestError], ["429", OpenAI.RateLimitError]]) {
      const error = await caught(create(`js-responses-${wire}-fault-${kind}`));
      assert.ok(error instanceof kinds, `${kind}: ${error}`);
    }
  });

  test(`a stream that breaks throws: ${wire}`, async () => {
    for (const kind of ["stream-error", "stream-cut"]) {
      const stream = await create(`js-responses-${wire}-fault-${kind}`, { stream: true });
      assert.ok((await caught(collect(stream))) instanceof OpenAI.APIError, kind);
    }
  });
}

for (const channel of CHANNELS) {
  test(`a call goes on from an earlier one: ${channel}`, async () => {
    const first = await client.responses.create({ model: `${channel}/any`, input: "one" });
    assert.equal((await client.responses.retrieve(first.id)).output_text ?? "You said: one", "You said: one");
    const second = await client.responses.create({ model: `${channel}/any`, input: "two", previous_response_id: first.id });
    assert.deepEqual([second.output_text, second.previous_response_id], ["You said: two", first.id]);
    const items = [];
    for await (const item of client.responses.inputItems.list(second.id, { limit: 2 })) items.push(item.content[0].text);
    assert.deepEqual(items, ["two", "You said: one", "one"]);
    await client.responses.delete(second.id);
    assert.equal((await caught(client.responses.retrieve(second.id))).status, 404);
    const error = await caught(create(`${channel}/any`, { previous_response_id: second.id }));
    assert.deepEqual([error.status, error.param, error.code], [400, "previous_response_id", "previous_response_not_found"]);
  });
}

for (const channel of CHANNELS) {
  test(`a conversation: ${channel}`, async () => {
    const items = [{ role: "user", content: "zero" }, { role: "assistant", content: "nil" }];
    const { id } = await client.conversations.create({ items });
    const answer = await client.responses.create({ model: `${channel}/any`, input: "one", conversation: id });
    assert.deepEqual([answer.output_text, answer.conversation.id], ["You said: one", id]);
    const said = [];
    for await (const item of client.conversations.items.list(id, { limit: 2, order: "asc" })) said.push(item.content[0].text);
    assert.deepEqual(said, ["zero", "nil", "one", "You said: one"]);
    assert.equal((await client.conversations.update(id, { metadata: { a: "b" } })).metadata.a, "b");
    assert.ok((await client.conversations.delete(id)).deleted);
    assert.equal((await caught(client.conversations.retrieve(id))).status, 404);
  });
}
