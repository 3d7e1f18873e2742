// The `openai` package on every vendor's wire: what its users write, and what they catch.

import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { CITY, HANSA, PIXEL, RECORDED, WIRES, caught, entry, revoked, thinker, vendors } from "../setup.js";

/** Configured as users do it: by OPENAI_BASE_URL and OPENAI_API_KEY. */
const client = new OpenAI({ maxRetries: 0 });
const HI = [{ role: "user", content: "hi" }];
const League = z.object({ name: z.string(), cities: z.array(z.string()), year: z.number().int() });

const say = (content) => [{ role: "user", content }];
const tool = (name) => ({ type: "function", function: { name, strict: true, parameters: CITY } });
const TOOLS = [tool("get_weather"), tool("get_tide")];
const create = (model, more = {}, options = {}) => client.chat.completions.create({ model, messages: HI, ...more }, options);

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

for (const model of ["sandbox", ...WIRES.map((wire) => `${wire}/any`)]) {
  test(`whole: ${model}`, async () => {
    const answer = await create(model);
    assert.equal(answer.object, "chat.completion");
    assert.ok(model === "sandbox" || answer.choices[0].message.content === "You said: hi");
    assert.equal(answer.choices[0].finish_reason, "stop");
    assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
    assert.match(answer._request_id, /^req_/);
    const recorded = await entry(answer._request_id);
    assert.deepEqual([recorded.outcome, recorded.principal], ["ok", "sdk"]);
  });

  test(`stream: ${model}`, async () => {
    const chunks = await collect(await create(model, { stream: true }));
    assert.ok(chunks.length > 3);
    // Naive clients index choices[0] of every chunk.
    const text = chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join("");
    assert.ok(model === "sandbox" || text === "You said: hi");
    assert.ok(chunks.every((chunk) => chunk.usage === undefined || chunk.usage === null));
    assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
  });

  test(`stream with usage: ${model}`, async () => {
    const asked = create(model, { stream: true, stream_options: { include_usage: true } });
    const { data, response } = await asked.withResponse();
    const chunks = await collect(data);
    assert.deepEqual(chunks.at(-1).choices, []);
    const recorded = await entry(response.headers.get("x-steelyard-request-id"));
    assert.equal(recorded.usage.output, chunks.at(-1).usage.completion_tokens);
  });
}

test("what a vendor of the same wire gets", async () => {
  await create("openai/any", { temperature: 0.5, seed: 7 });
  const { headers, body } = await vendors.openai.last();
  assert.deepEqual(body, { model: "any", messages: HI, temperature: 0.5, seed: 7 });
  assert.equal(headers.authorization, "Bearer vendor-key");
  assert.ok(!Object.keys(headers).some((name) => name.startsWith("x-stainless")));
});

for (const wire of WIRES) {
  const vendor = vendors[wire];

  test(`system prompt and turns: ${wire}`, async () => {
    const messages = [{ role: "system", content: "Be brief." }, ...say("one"), { role: "assistant", content: "1" }, ...say("two")];
    const answer = await create(`${wire}/any`, { messages });
    assert.equal(answer.choices[0].message.content, "You said: two");
    assert.equal(JSON.stringify((await vendor.last()).body).split("Be brief.").length, 2);
  });

  test(`the stream helper: ${wire}`, async () => {
    const stream = client.chat.completions.stream({ model: `${wire}/any`, messages: say("one two three") });
    const deltas = [];
    stream.on("content", (delta) => deltas.push(delta));
    assert.equal(await stream.finalContent(), "You said: one two three");
    assert.equal(deltas.join(""), "You said: one two three");
    assert.equal((await stream.finalChatCompletion()).choices[0].finish_reason, "stop");
  });

  test(`structured output: ${wire}`, async () => {
    const given = { model: `${wire}/structured`, messages: HI, response_format: zodResponseFormat(League, "league") };
    assert.deepEqual((await client.chat.completions.parse(given)).choices[0].message.parsed, HANSA);
    assert.deepEqual((await client.chat.completions.stream(given).finalMessage()).parsed, HANSA);
  });

  test(`images: ${wire}`, async () => {
    const content = [
      { type: "text", text: "what is this?" },
      { type: "image_url", image_url: { url: `data:image/png;base64,${PIXEL}` } },
    ];
    const answer = await create(`${wire}/vision`, { messages: say(content) });
    assert.equal(answer.choices[0].message.content, "1 images, the first is data:image/png;base64,");
  });

  for (const [model, reason] of [["length", "length"], ["filtered", "content_filter"], ["stopped", "stop"]]) {
    test(`stop reason ${reason}: ${wire}/${model}`, async () => {
      assert.equal((await create(`${wire}/${model}`)).choices[0].finish_reason, reason);
      const chunks = await collect(await create(`${wire}/${model}`, { stream: true }));
      assert.equal(chunks.at(-1).choices[0].finish_reason, reason);
    });
  }

  for (const streamed of [false, true]) {
    test(`reasoning and a second turn: ${wire}, stream: ${streamed}`, async () => {
      const given = { model: thinker(wire), reasoning_effort: "low" };
      const answer = streamed
        ? await client.chat.completions
            .stream({ ...given, messages: HI, stream_options: { include_usage: true } })
            .finalChatCompletion()
        : await client.chat.completions.create({ ...given, messages: HI });
      const message = answer.choices[0].message;
      assert.deepEqual([message.content, message.reasoning_content], ["42", "Let me think."]);
      // Converse does not tell how much of the output was reasoning.
      assert.equal(answer.usage.completion_tokens_details?.reasoning_tokens ?? 0, wire === "bedrock" ? 0 : 30);
      assert.deepEqual([answer.usage.prompt_tokens, answer.usage.completion_tokens], [12, 40]);
      const { parsed, ...replayed } = message;
      await client.chat.completions.create({ ...given, messages: [...HI, replayed, ...say("and now?")] });
      const body = JSON.stringify((await vendor.last()).body);
      assert.match(body, /Let me think\./);
      // The vendor's own proof went through the client and came back unchanged.
      if (wire !== "openai") assert.match(body, /c2lnbmVk/);
    });
  }

  test(`cached tokens: ${wire}`, async () => {
    const answer = await create(`${wire}/cached`);
    assert.deepEqual([answer.usage.prompt_tokens, answer.usage.prompt_tokens_details.cached_tokens], [1000, 900]);
    assert.deepEqual((await entry(answer._request_id)).usage, { input: 100, cache_read: 900, output: 5 });
  });

  test(`many at once: ${wire}`, async () => {
    const one = (number) =>
      client.chat.completions.stream({ model: `${wire}/any`, messages: say(`number ${number}`) }).finalContent();
    const numbers = Array.from({ length: 50 }, (_, number) => number);
    assert.deepEqual(await Promise.all(numbers.map(one)), numbers.map((number) => `You said: number ${number}`));
  });

  const fault = (kind) => `js-openai-${wire}-fault-${kind}`;
  const byStatus = [
    ["400", OpenAI.BadRequestError, 400],
    // A vendor that refuses Steelyard's own key is not the caller's mistake.
    ["401", OpenAI.InternalServerError, 502],
    ["403", OpenAI.InternalServerError, 502],
    ["404", OpenAI.NotFoundError, 404],
    ["413", OpenAI.APIError, 413],
    // What the caller can mend keeps its status where both speak one wire.
    ["422", OpenAI.APIError, wire === "openai" ? 422 : 400],
    ["429", OpenAI.RateLimitError, 429],
    ["500", OpenAI.InternalServerError, 502],
    ["503", OpenAI.InternalServerError, 503],
    ["529", OpenAI.InternalServerError, 503],
  ];
  for (const [kind, expected, status] of byStatus) {
    test(`error ${kind} of the vendor: ${wire}`, async () => {
      for (const stream of [false, true]) {
        const error = await caught(create(fault(kind), { stream }));
        assert.ok(error instanceof expected, `${error}`);
        assert.equal(error.status, status);
        assert.ok(error.message && error.type);
        assert.match(error.requestID, /^req_/);
        if (["400", "413", "422"].includes(kind)) assert.match(error.message, /the vendor's own words for 4/);
        if (!stream && RECORDED.has(kind)) assert.equal((await entry(error.requestID)).outcome, "upstream_error");
      }
    });
  }

  for (const [kind, words] of [["stream-error", /engine failed/], ["stream-cut", /incomplete|broke off/]]) {
    test(`in the middle of a stream: ${kind}, ${wire}`, async () => {
      let text = "";
      const reading = async () => {
        for await (const chunk of await create(fault(kind), { stream: true })) text += chunk.choices[0].delta.content ?? "";
      };
      const error = await caught(reading());
      assert.ok(error instanceof OpenAI.APIError);
      assert.match(error.message, words);
      assert.equal(text, "one two ");
    });
  }

  test(`retries of the SDK: ${wire}`, async () => {
    await vendor.reset();
    assert.ok((await caught(create(fault("429"), {}, { maxRetries: 2 }))) instanceof OpenAI.RateLimitError);
    assert.equal((await vendor.requests()).length, 3);
  });

  test(`a timeout of the SDK cancels upstream: ${wire}`, async () => {
    await vendor.reset();
    assert.ok((await caught(create(fault("hang"), {}, { timeout: 300 }))) instanceof OpenAI.APIConnectionTimeoutError);
    await vendor.becomes({ aborted: 1, answering: 0 });
  });

  test(`aborting a stream cancels upstream: ${wire}`, async () => {
    await vendor.reset();
    const { data: stream, response } = await create(`${wire}/slow`, { stream: true }).withResponse();
    let seen = 0;
    for await (const _ of stream) {
      if (++seen === 5) stream.controller.abort();
    }
    await vendor.becomes({ aborted: 1, answering: 0 });
    const recorded = await entry(response.headers.get("x-steelyard-request-id"));
    assert.equal(recorded.outcome, "client_gone");
    assert.ok(recorded.usage.output > 0 && recorded.usage.output < 100);
  });

  test(`a body that is too large: ${wire}`, async () => {
    const error = await caught(create(`${wire}/any`, { messages: say("x".repeat(3_000_000)) }));
    assert.equal(error.status, 413);
    assert.match(error.message, /max_body/);
  });
}

for (const model of ["sandbox", ...WIRES.map((wire) => `${wire}/tools`)]) {
  for (const streamed of [false, true]) {
    test(`a tool loop: ${model}, stream: ${streamed}`, async () => {
      const messages = say("please call get_weather and call get_tide");
      const answer = streamed
        ? await client.chat.completions.stream({ model, messages, tools: TOOLS }).finalChatCompletion()
        : await client.chat.completions.create({ model, messages, tools: TOOLS });
      const calls = answer.choices[0].message.tool_calls;
      assert.deepEqual(calls.map((call) => call.function.name), ["get_weather", "get_tide"]);
      assert.equal(answer.choices[0].finish_reason, "tool_calls");
      messages.push(answer.choices[0].message);
      for (const call of calls) {
        const { city } = JSON.parse(call.function.arguments);
        assert.ok(model === "sandbox" ? typeof city === "string" : city === "Lübeck");
        messages.push({ role: "tool", tool_call_id: call.id, content: `seven by ${call.function.name}` });
      }
      const told = await client.chat.completions.create({ model, messages, tools: TOOLS });
      assert.match(told.choices[0].message.content, /seven by get_weather[^]*seven by get_tide/);
    });
  }
}

for (const stream of [false, true]) {
  test(`the tool runner, stream: ${stream}`, async () => {
    const asked = [];
    const run = (given) => {
      asked.push(given);
      return "seven degrees";
    };
    const parameters = z.object({ city: z.string() });
    const tools = [zodFunction({ name: "get_weather", parameters, function: run })];
    const runner = client.chat.completions.runTools({ model: "sandbox", stream, messages: say("call get_weather"), tools });
    assert.match(await runner.finalContent(), /seven degrees/);
    assert.equal(asked.length, 1);
    assert.equal(typeof asked[0].city, "string");
  });
}

test("logprobs and several choices", async () => {
  const logged = await create("openai/any", { logprobs: true });
  assert.equal(logged.choices[0].logprobs.content[0].token, "You said: ");
  const many = await create("openai/many", { n: 3 });
  assert.deepEqual(many.choices.map((choice) => choice.message.content), ["choice 0", "choice 1", "choice 2"]);
  const texts = ["", "", ""];
  for await (const chunk of await create("openai/many", { n: 3, stream: true })) {
    texts[chunk.choices[0].index] += chunk.choices[0].delta.content ?? "";
  }
  assert.deepEqual(texts, ["choice 0", "choice 1", "choice 2"]);
});

test("embeddings", async () => {
  const decoded = await client.embeddings.create({ model: "openai/e", input: ["one", "two"] });
  assert.equal((await vendors.openai.last()).body.encoding_format, "base64", "the SDK's default");
  assert.deepEqual(decoded.data.map((row) => [...row.embedding]), [[0.5, -1, 0.25], [0.5, -1, 0.25]]);
  const floats = await client.embeddings.create({ model: "openai/e", input: "one", encoding_format: "float" });
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
  assert.ok(listed.includes("sandbox") && listed.includes("js-openai-bedrock-fault-429"));
  assert.equal((await client.models.retrieve("sandbox")).id, "sandbox");
  assert.equal((await client.models.retrieve("anthropic/any")).id, "anthropic/any");
});

test("a wrong key", async () => {
  for (const apiKey of ["wrong", (await revoked("js-openai")).secret]) {
    const wrong = new OpenAI({ apiKey, maxRetries: 0 });
    for (const asking of [() => wrong.models.list(), () => wrong.chat.completions.create({ model: "sandbox", messages: HI })]) {
      const error = await caught(asking());
      assert.ok(error instanceof OpenAI.AuthenticationError, `${error}`);
      assert.deepEqual([error.status, error.code], [401, "invalid_api_key"]);
    }
  }
});

test("an unknown model", async () => {
  const error = await caught(create("sandbix"));
  assert.ok(error instanceof OpenAI.NotFoundError);
  assert.deepEqual([error.code, error.param], ["model_not_found", "model"]);
  assert.match(error.message, /sandbox/);
});

test("a bad request", async () => {
  assert.ok((await caught(create("sandbox", { messages: "hi" }))) instanceof OpenAI.BadRequestError);
});
