// Errors arrive as the classes that the SDK's users catch; leaving a stream cancels it upstream.

import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { HI, client, entry, vendor } from "../setup.js";

const ask = (model, more = {}, options = {}) => client.chat.completions.create({ model, messages: HI, ...more }, options);

/** The error that a promise ends in. */
async function caught(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail("no error came");
}

const byStatus = [
  ["fault-400", OpenAI.BadRequestError, 400],
  ["fault-422", OpenAI.UnprocessableEntityError, 422],
  ["fault-404", OpenAI.NotFoundError, 404],
  ["fault-429", OpenAI.RateLimitError, 429],
  ["fault-500", OpenAI.InternalServerError, 502],
  ["fault-503", OpenAI.InternalServerError, 502],
  // A vendor that refuses Steelyard's own key is not the caller's mistake.
  ["fault-401", OpenAI.InternalServerError, 502],
  ["fault-403", OpenAI.InternalServerError, 502],
];

for (const [model, kind, status] of byStatus) {
  for (const stream of [false, true]) {
    test(`${model}, stream: ${stream}`, async () => {
      const error = await caught(ask(model, { stream }));
      assert.ok(error instanceof kind, `${error}`);
      assert.equal(error.status, status);
      assert.ok(error.message && error.type);
      assert.match(error.requestID, /^req_/);
      assert.equal((await entry(error.requestID)).outcome, "upstream_error");
    });
  }
}

test("a wrong key", async () => {
  const error = await caught(new OpenAI({ apiKey: "wrong", maxRetries: 0 }).models.list());
  assert.ok(error instanceof OpenAI.AuthenticationError);
  assert.equal(error.code, "invalid_api_key");
});

test("an unknown model", async () => {
  const error = await caught(ask("sandbix"));
  assert.ok(error instanceof OpenAI.NotFoundError);
  assert.deepEqual([error.code, error.param], ["model_not_found", "model"]);
  assert.match(error.message, /sandbox/);
});

test("a bad request", async () => {
  assert.ok((await caught(client.chat.completions.create({ model: "sandbox", messages: "hi" }))) instanceof OpenAI.BadRequestError);
});

for (const [model, words] of [["fault-stream-error", /engine failed/], ["fault-stream-cut", /incomplete/]]) {
  test(`in the middle of a stream: ${model}`, async () => {
    let text = "";
    const error = await caught(
      (async () => {
        for await (const chunk of await ask(model, { stream: true })) text += chunk.choices[0].delta.content ?? "";
      })(),
    );
    assert.ok(error instanceof OpenAI.APIError);
    assert.match(error.message, words);
    assert.equal(text, "one two ");
  });
}

test("retries of the SDK", async () => {
  await vendor.reset();
  const error = await caught(ask("fault-429", {}, { maxRetries: 2 }));
  assert.ok(error instanceof OpenAI.RateLimitError);
  assert.equal((await vendor.requests()).length, 3);
});

test("a timeout of the SDK cancels upstream", async () => {
  await vendor.reset();
  const error = await caught(ask("fault-hang", {}, { timeout: 500 }));
  assert.ok(error instanceof OpenAI.APIConnectionTimeoutError);
  await vendor.becomes({ aborted: 1, answering: 0 });
});

test("aborting a stream cancels upstream", async () => {
  await vendor.reset();
  const { data: stream, response } = await ask("scripted/slow", { stream: true }).withResponse();
  let seen = 0;
  for await (const _ of stream) {
    if (++seen === 5) stream.controller.abort();
  }
  await vendor.becomes({ aborted: 1, answering: 0 });
  const recorded = await entry(response.headers.get("x-steelyard-request-id"));
  assert.equal(recorded.outcome, "client_gone");
  assert.ok(recorded.usage.output > 0 && recorded.usage.output < 100);
});
