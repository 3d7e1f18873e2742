// The `@anthropic-ai/sdk` package on every vendor's wire: what its users write, and what they catch.

import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import { CITY, HANSA, PIXEL, RECORDED, SCHEMA, WIRES, caught, entry, revoked, thinker, vendors } from "../setup.js";

/** Configured as users do it: by ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY. */
const client = new Anthropic({ maxRetries: 0 });
const HI = [{ role: "user", content: "hi" }];
const TOOLS = ["get_weather", "get_tide"].map((name) => ({ name, input_schema: CITY }));

const say = (content) => [{ role: "user", content }];
const params = (model, more) => ({ model, max_tokens: 4096, messages: HI, ...more });
const create = (model, more = {}, options = {}) => client.messages.create(params(model, more), options);

/** A message, whole or by the stream helper, which puts it together again; and its request's id. */
async function ask(streamed, model, more = {}) {
  if (!streamed) {
    const { data, response } = await create(model, more).withResponse();
    return [data, response.headers.get("x-steelyard-request-id")];
  }
  const stream = client.messages.stream(params(model, more));
  const message = await stream.finalMessage();
  return [message, stream.request_id];
}

for (const streamed of [false, true]) {
  const how = streamed ? "streamed" : "whole";

  for (const model of ["sandbox", ...WIRES.map((wire) => `${wire}/any`)]) {
    test(`echo, ${how}: ${model}`, async () => {
      const [answer, id] = await ask(streamed, model, { messages: say("one two three") });
      assert.deepEqual([answer.type, answer.role, answer.stop_reason], ["message", "assistant", "end_turn"]);
      if (model !== "sandbox") {
        assert.equal(answer.content[0].text, "You said: one two three");
        assert.deepEqual([answer.usage.input_tokens, answer.usage.output_tokens], [10, 5]);
      }
      const recorded = await entry(id);
      assert.deepEqual([recorded.outcome, recorded.principal], ["ok", "sdk"]);
    });
  }

  for (const model of ["sandbox", ...WIRES.map((wire) => `${wire}/tools`)]) {
    test(`a tool loop, ${how}: ${model}`, async () => {
      const messages = say("please call get_weather and call get_tide");
      const [answer] = await ask(streamed, model, { messages, tools: TOOLS });
      assert.equal(answer.stop_reason, "tool_use");
      const calls = answer.content.filter((block) => block.type === "tool_use");
      assert.deepEqual(calls.map((call) => call.name), ["get_weather", "get_tide"]);
      assert.notEqual(calls[0].id, calls[1].id);
      if (model !== "sandbox") assert.deepEqual(calls.map((call) => call.input.city), ["Lübeck", "Lübeck"]);
      const results = calls.map((call) => ({ type: "tool_result", tool_use_id: call.id, content: `seven by ${call.name}` }));
      messages.push({ role: "assistant", content: answer.content }, { role: "user", content: results });
      const [told] = await ask(streamed, model, { messages, tools: TOOLS });
      assert.match(told.content[0].text, /seven by get_weather[^]*seven by get_tide/);
    });
  }

  for (const wire of WIRES) {
    test(`system prompt and turns, ${how}: ${wire}`, async () => {
      const messages = [...say("one"), { role: "assistant", content: "1" }, ...say([{ type: "text", text: "two" }])];
      const [answer] = await ask(streamed, `${wire}/any`, { messages, system: "Be brief." });
      assert.equal(answer.content[0].text, "You said: two");
      assert.equal(JSON.stringify((await vendors[wire].last()).body).split("Be brief.").length, 2);
    });

    test(`structured output, ${how}: ${wire}`, async () => {
      const output_config = { format: { type: "json_schema", schema: SCHEMA } };
      const [answer] = await ask(streamed, `${wire}/structured`, { output_config });
      assert.deepEqual(JSON.parse(answer.content.map((block) => block.text).join("")), HANSA);
    });

    test(`images, ${how}: ${wire}`, async () => {
      const image = { type: "image", source: { type: "base64", media_type: "image/png", data: PIXEL } };
      const [answer] = await ask(streamed, `${wire}/vision`, { messages: say([image, { type: "text", text: "what?" }]) });
      assert.equal(answer.content[0].text, "1 images, the first is data:image/png;base64,");
    });

    for (const [model, reason] of [["length", "max_tokens"], ["filtered", "refusal"], ["refusal", "refusal"]]) {
      test(`stop reason ${reason}, ${how}: ${wire}/${model}`, async () => {
        const [answer] = await ask(streamed, `${wire}/${model}`);
        assert.equal(answer.stop_reason, reason);
      });
    }

    test(`thinking and a second turn, ${how}: ${wire}`, async () => {
      const given = { thinking: { type: "adaptive" }, output_config: { effort: "low" } };
      const [answer, id] = await ask(streamed, thinker(wire), given);
      assert.deepEqual(answer.content.map((block) => block.type), ["thinking", "text"]);
      assert.equal(answer.content[0].thinking, "Let me think.");
      // OpenAI's wire has no signatures.
      assert.equal(answer.content[0].signature, wire === "openai" ? "" : "c2lnbmVk");
      // Converse does not tell how much of the output was reasoning.
      const told = wire === "bedrock" ? { input: 12, output: 40 } : { input: 12, output: 10, reasoning: 30 };
      assert.deepEqual((await entry(id)).usage, told);
      const messages = [...HI, { role: "assistant", content: answer.content }, ...say("and now?")];
      const [again] = await ask(streamed, thinker(wire), { ...given, messages });
      assert.equal(again.content.at(-1).text, "42");
      const body = JSON.stringify((await vendors[wire].last()).body);
      assert.match(body, /Let me think\./);
      if (wire !== "openai") assert.match(body, /c2lnbmVk/);
    });

    test(`cached tokens, ${how}: ${wire}`, async () => {
      const system = [{ type: "text", text: "Be brief.", cache_control: { type: "ephemeral" } }];
      const [{ usage }, id] = await ask(streamed, `${wire}/cached`, { system });
      assert.deepEqual([usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens], [100, 900, 5]);
      assert.deepEqual((await entry(id)).usage, { input: 100, cache_read: 900, output: 5 });
    });
  }
}

for (const wire of WIRES) {
  const vendor = vendors[wire];
  const fault = (kind) => `js-anthropic-${wire}-fault-${kind}`;

  test(`the input of a tool piece by piece: ${wire}`, async () => {
    const snapshots = [];
    const stream = client.messages.stream(params(`${wire}/tools`, { tools: TOOLS }));
    stream.on("inputJson", (_, snapshot) => snapshots.push(snapshot));
    await stream.done();
    assert.ok(snapshots.length > 2);
    assert.deepEqual(snapshots.at(-1), { city: "Lübeck" });
  });

  test(`counting tokens: ${wire}`, async () => {
    const counted = await client.messages.countTokens({ model: `${wire}/any`, messages: say("hi ".repeat(1000)) });
    // Anthropic itself counts; for the others it is reckoned.
    assert.ok(wire === "anthropic" ? counted.input_tokens === 10 : counted.input_tokens > 500);
  });

  test(`many at once: ${wire}`, async () => {
    const one = (number) => client.messages.stream(params(`${wire}/any`, { messages: say(`number ${number}`) })).finalText();
    const numbers = Array.from({ length: 50 }, (_, number) => number);
    assert.deepEqual(await Promise.all(numbers.map(one)), numbers.map((number) => `You said: number ${number}`));
  });

  const byStatus = [
    ["400", Anthropic.BadRequestError, 400, "invalid_request_error"],
    // A vendor that refuses Steelyard's own key is not the caller's mistake.
    ["401", Anthropic.InternalServerError, 500, "api_error"],
    ["403", Anthropic.InternalServerError, 500, "api_error"],
    ["404", Anthropic.NotFoundError, 404, "not_found_error"],
    ["413", Anthropic.APIError, 413, "request_too_large"],
    ["429", Anthropic.RateLimitError, 429, "rate_limit_error"],
    ["500", Anthropic.InternalServerError, 500, "api_error"],
    ["503", Anthropic.InternalServerError, 529, "overloaded_error"],
    ["529", Anthropic.InternalServerError, 529, "overloaded_error"],
  ];
  for (const [kind, expected, status, word] of byStatus) {
    test(`error ${kind} of the vendor: ${wire}`, async () => {
      for (const stream of [false, true]) {
        const error = await caught(create(fault(kind), { stream }));
        assert.ok(error instanceof expected, `${error}`);
        assert.deepEqual([error.status, error.error.error.type], [status, word]);
        assert.match(error.requestID, /^req_/);
        if (["400", "413"].includes(kind)) assert.match(error.message, /the vendor's own words for 4/);
        if (!stream && RECORDED.has(kind)) assert.equal((await entry(error.requestID)).outcome, "upstream_error");
      }
    });
  }

  for (const [kind, words] of [["stream-error", /engine failed/], ["stream-cut", /incomplete|broke off/]]) {
    test(`in the middle of a stream: ${kind}, ${wire}`, async () => {
      let text = "";
      const stream = client.messages.stream(params(fault(kind)));
      stream.on("text", (delta) => (text += delta));
      const error = await caught(stream.finalMessage());
      assert.ok(error instanceof Anthropic.APIError, `${error}`);
      assert.match(error.message, words);
      assert.equal(text, "one two ");
    });
  }

  test(`retries of the SDK: ${wire}`, async () => {
    await vendor.reset();
    assert.ok((await caught(create(fault("429"), {}, { maxRetries: 2 }))) instanceof Anthropic.RateLimitError);
    assert.equal((await vendor.requests()).length, 3);
  });

  test(`a timeout of the SDK cancels upstream: ${wire}`, async () => {
    await vendor.reset();
    const error = await caught(create(fault("hang"), {}, { timeout: 300 }));
    assert.ok(error instanceof Anthropic.APIConnectionTimeoutError, `${error}`);
    await vendor.becomes({ aborted: 1, answering: 0 });
  });

  test(`aborting a stream cancels upstream: ${wire}`, async () => {
    await vendor.reset();
    const { data: stream, response } = await create(`${wire}/slow`, { stream: true }).withResponse();
    let seen = 0;
    for await (const _ of stream) {
      if (++seen === 8) stream.controller.abort();
    }
    await vendor.becomes({ aborted: 1, answering: 0 });
    const recorded = await entry(response.headers.get("x-steelyard-request-id"));
    assert.equal(recorded.outcome, "client_gone");
    assert.ok(recorded.usage.output > 0 && recorded.usage.output < 100);
  });

  test(`a body that is too large: ${wire}`, async () => {
    const error = await caught(create(`${wire}/any`, { messages: say("x".repeat(3_000_000)) }));
    assert.deepEqual([error.status, error.error.error.type], [413, "request_too_large"]);
  });
}

test("models", async () => {
  // More than a page of them: the SDK asks for the next by itself.
  const listed = [];
  for await (const model of client.models.list()) listed.push(model.id);
  assert.ok(listed.length > 100 && listed.length === new Set(listed).size);
  assert.ok(listed.includes("sandbox") && listed.includes("js-anthropic-openai-fault-429"));
  assert.equal((await client.models.retrieve("bedrock/any")).type, "model");
});

test("a wrong key", async () => {
  for (const apiKey of ["wrong", (await revoked("js-anthropic")).secret]) {
    const wrong = new Anthropic({ apiKey, maxRetries: 0 });
    for (const asking of [() => wrong.models.list(), () => wrong.messages.create(params("sandbox"))]) {
      const error = await caught(asking());
      assert.ok(error instanceof Anthropic.AuthenticationError, `${error}`);
      assert.deepEqual([error.status, error.error.error.type], [401, "authentication_error"]);
    }
  }
});

test("an unknown model and a bad request", async () => {
  assert.ok((await caught(create("sandbix"))) instanceof Anthropic.NotFoundError);
  assert.ok((await caught(create("sandbox", { messages: "hi" }))) instanceof Anthropic.BadRequestError);
});
