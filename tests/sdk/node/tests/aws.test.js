// `@aws-sdk/client-bedrock-runtime` on every vendor's wire, by its own handler, which speaks HTTP/2 with prior knowledge;
// and what `@aws-sdk/client-bedrock` asks of the control plane.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as control from "@aws-sdk/client-bedrock";
import * as runtime from "@aws-sdk/client-bedrock-runtime";
import { CITY, HANSA, PIXEL, RECORDED, SCHEMA, WIRES, caught, entry, revoked, thinker, vendors } from "../setup.js";

const { BedrockRuntimeClient, ConverseCommand, ConverseStreamCommand } = runtime;
const { BedrockClient, GetFoundationModelCommand, GetInferenceProfileCommand, ListFoundationModelsCommand } = control;

/** Configured as users do it: by AWS_ENDPOINT_URL, AWS_REGION and a pair of keys in the environment. */
const client = new BedrockRuntimeClient({ maxAttempts: 1 });
const plane = new BedrockClient({ maxAttempts: 1 });
const HI = [{ role: "user", content: [{ text: "hi" }] }];
const toolConfig = { tools: ["get_weather", "get_tide"].map((name) => ({ toolSpec: { name, inputSchema: { json: CITY } } })) };

const say = (text) => [{ role: "user", content: [{ text }] }];
const whole = (modelId, more = {}, options = {}) => client.send(new ConverseCommand({ modelId, messages: HI, ...more }), options);
const stream = (modelId, more = {}, options = {}) =>
  client.send(new ConverseStreamCommand({ modelId, messages: HI, ...more }), options);
const textOf = (answer) => answer.output.message.content.map((block) => block.text ?? "").join("");
// AWS's clients know ids as UUIDs.
const idOf = ({ $metadata }) => `req_${$metadata.requestId.replaceAll("-", "")}`;

/** What a stream says, as `converse` would say it whole. */
async function gather({ stream: events, $metadata }) {
  const blocks = [];
  const answer = { $metadata };
  let role;
  for await (const event of events) {
    if (event.messageStart) role = event.messageStart.role;
    else if (event.contentBlockStart) {
      blocks[event.contentBlockStart.contentBlockIndex] = { toolUse: { ...event.contentBlockStart.start.toolUse, input: "" } };
    } else if (event.contentBlockDelta) {
      const { contentBlockIndex: index, delta } = event.contentBlockDelta;
      if (delta.text !== undefined) (blocks[index] ??= { text: "" }).text += delta.text;
      else if (delta.toolUse) blocks[index].toolUse.input += delta.toolUse.input;
      else {
        const { reasoningText } = (blocks[index] ??= { reasoningContent: { reasoningText: { text: "" } } }).reasoningContent;
        for (const name of ["text", "signature"]) {
          if (delta.reasoningContent[name]) reasoningText[name] = (reasoningText[name] ?? "") + delta.reasoningContent[name];
        }
      }
    } else if (event.contentBlockStop) {
      const { toolUse } = blocks[event.contentBlockStop.contentBlockIndex];
      if (toolUse) toolUse.input = JSON.parse(toolUse.input);
    } else if (event.messageStop) answer.stopReason = event.messageStop.stopReason;
    else if (event.metadata) {
      assert.ok(answer.stopReason, "the figures come last");
      answer.usage = event.metadata.usage;
    }
  }
  answer.output = { message: { role, content: blocks } };
  return answer;
}

const ask = async (streamed, model, more) => (streamed ? gather(await stream(model, more)) : whole(model, more));

test("the client speaks HTTP/2", () => {
  assert.equal(client.config.requestHandler.metadata.handlerProtocol, "h2");
});

for (const streamed of [false, true]) {
  const how = streamed ? "streamed" : "whole";

  for (const model of ["sandbox", ...WIRES.map((wire) => `${wire}/any`)]) {
    test(`echo, ${how}: ${model}`, async () => {
      const answer = await ask(streamed, model, { messages: say("one two three") });
      assert.equal(answer.stopReason, "end_turn");
      assert.equal(answer.usage.totalTokens, answer.usage.inputTokens + answer.usage.outputTokens);
      if (model !== "sandbox") {
        assert.equal(textOf(answer), "You said: one two three");
        assert.deepEqual([answer.usage.inputTokens, answer.usage.outputTokens], [10, 5]);
      }
      const recorded = await entry(idOf(answer));
      assert.deepEqual([recorded.outcome, recorded.principal], ["ok", "sdk"]);
    });
  }

  for (const model of ["sandbox", ...WIRES.map((wire) => `${wire}/tools`)]) {
    test(`a tool loop, ${how}: ${model}`, async () => {
      const messages = say("please call get_weather and call get_tide");
      const answer = await ask(streamed, model, { messages, toolConfig });
      assert.equal(answer.stopReason, "tool_use");
      const calls = answer.output.message.content.flatMap((block) => block.toolUse ?? []);
      assert.deepEqual(calls.map((call) => call.name), ["get_weather", "get_tide"]);
      if (model !== "sandbox") assert.deepEqual(calls.map((call) => call.input.city), ["Lübeck", "Lübeck"]);
      const content = calls.map(({ toolUseId, name }) => ({
        toolResult: { toolUseId, content: [{ text: `seven by ${name}` }] },
      }));
      messages.push(answer.output.message, { role: "user", content });
      const told = await ask(streamed, model, { messages, toolConfig });
      assert.match(textOf(told), /seven by get_weather[^]*seven by get_tide/);
    });
  }

  for (const wire of WIRES) {
    test(`system prompt and turns, ${how}: ${wire}`, async () => {
      const messages = [...say("one"), { role: "assistant", content: [{ text: "1" }] }, ...say("two")];
      const inferenceConfig = { maxTokens: 99, temperature: 0.5 };
      const answer = await ask(streamed, `${wire}/any`, { messages, system: [{ text: "Be brief." }], inferenceConfig });
      assert.equal(textOf(answer), "You said: two");
      assert.equal(JSON.stringify((await vendors[wire].last()).body).split("Be brief.").length, 2);
    });

    test(`structured output, ${how}: ${wire}`, async () => {
      const structure = { jsonSchema: { name: "league", schema: JSON.stringify(SCHEMA) } };
      const outputConfig = { textFormat: { type: "json_schema", structure } };
      assert.deepEqual(JSON.parse(textOf(await ask(streamed, `${wire}/structured`, { outputConfig }))), HANSA);
    });

    test(`images, ${how}: ${wire}`, async () => {
      const image = { format: "png", source: { bytes: Buffer.from(PIXEL, "base64") } };
      const answer = await ask(streamed, `${wire}/vision`, { messages: [{ role: "user", content: [{ text: "what?" }, { image }] }] });
      assert.equal(textOf(answer), "1 images, the first is data:image/png;base64,");
    });

    for (const [model, reason] of [["length", "max_tokens"], ["filtered", "content_filtered"]]) {
      test(`stop reason ${reason}, ${how}: ${wire}`, async () => {
        assert.equal((await ask(streamed, `${wire}/${model}`)).stopReason, reason);
      });
    }

    test(`reasoning and a second turn, ${how}: ${wire}`, async () => {
      const given = {
        inferenceConfig: { maxTokens: 4096 },
        additionalModelRequestFields: { thinking: { type: "enabled", budget_tokens: 1024 } },
      };
      const answer = await ask(streamed, thinker(wire), given);
      const [thought, text] = answer.output.message.content;
      assert.equal(thought.reasoningContent.reasoningText.text, "Let me think.");
      // OpenAI's wire has no signatures.
      assert.equal(thought.reasoningContent.reasoningText.signature, wire === "openai" ? undefined : "c2lnbmVk");
      assert.equal(text.text, "42");
      const messages = [...HI, answer.output.message, ...say("and now?")];
      assert.equal(textOf(await ask(streamed, thinker(wire), { ...given, messages })), "42");
      const body = JSON.stringify((await vendors[wire].last()).body);
      assert.match(body, /Let me think\./);
      if (wire !== "openai") assert.match(body, /c2lnbmVk/);
    });

    test(`cached tokens, ${how}: ${wire}`, async () => {
      const system = [{ text: "Be brief." }, { cachePoint: { type: "default" } }];
      const answer = await ask(streamed, `${wire}/cached`, { system });
      const { usage } = answer;
      assert.deepEqual([usage.inputTokens, usage.cacheReadInputTokens, usage.outputTokens], [100, 900, 5]);
      assert.deepEqual((await entry(idOf(answer))).usage, { input: 100, cache_read: 900, output: 5 });
    });
  }
}

for (const wire of WIRES) {
  const vendor = vendors[wire];
  const fault = (kind) => `js-aws-${wire}-fault-${kind}`;

  test(`many at once: ${wire}`, async () => {
    const one = async (number) => textOf(await gather(await stream(`${wire}/any`, { messages: say(`number ${number}`) })));
    const numbers = Array.from({ length: 50 }, (_, number) => number);
    assert.deepEqual(await Promise.all(numbers.map(one)), numbers.map((number) => `You said: number ${number}`));
  });

  const byKind = [
    ["400", runtime.ValidationException, 400],
    // A vendor that refuses Steelyard's own key is not the caller's mistake.
    ["401", runtime.ModelErrorException, 424],
    ["403", runtime.ModelErrorException, 424],
    ["404", runtime.ResourceNotFoundException, 404],
    // What the caller can mend keeps its status where both speak one wire.
    ["413", runtime.ValidationException, wire === "bedrock" ? 413 : 400],
    ["429", runtime.ThrottlingException, 429],
    ["500", runtime.InternalServerException, 500],
    ["503", runtime.ServiceUnavailableException, 503],
    ["529", runtime.ServiceUnavailableException, 503],
  ];
  for (const [kind, expected, status] of byKind) {
    test(`error ${kind} of the vendor: ${wire}`, async () => {
      for (const asking of [whole, stream]) {
        const error = await caught(asking(fault(kind)));
        assert.ok(error instanceof expected, `${error}`);
        assert.equal(error.$metadata.httpStatusCode, status);
        if (["400", "413"].includes(kind)) assert.match(error.message, /the vendor's own words for 4/);
        if (asking === whole && RECORDED.has(kind)) assert.equal((await entry(idOf(error))).outcome, "upstream_error");
      }
    });
  }

  for (const [kind, words] of [["stream-error", /engine failed/], ["stream-cut", /incomplete|broke off/]]) {
    test(`in the middle of a stream: ${kind}, ${wire}`, async () => {
      let text = "";
      const reading = async () => {
        for await (const event of (await stream(fault(kind))).stream) text += event.contentBlockDelta?.delta.text ?? "";
      };
      const error = await caught(reading());
      assert.ok(
        error instanceof runtime.ModelStreamErrorException || error instanceof runtime.InternalServerException,
        `${error.name}: ${error}`,
      );
      assert.match(error.message, words);
      assert.equal(text, "one two ");
    });
  }

  test(`retries of the SDK: ${wire}`, async () => {
    await vendor.reset();
    const twice = new BedrockRuntimeClient({ maxAttempts: 2 });
    const error = await caught(twice.send(new ConverseCommand({ modelId: fault("429"), messages: HI })));
    assert.ok(error instanceof runtime.ThrottlingException);
    assert.equal(error.$metadata.attempts, 2);
    assert.equal((await vendor.requests()).length, 2);
    twice.destroy();
  });

  test(`aborting a call cancels upstream: ${wire}`, async () => {
    await vendor.reset();
    const error = await caught(whole(fault("hang"), {}, { abortSignal: AbortSignal.timeout(300) }));
    assert.equal(error.name, "AbortError");
    await vendor.becomes({ aborted: 1, answering: 0 });
  });

  test(`leaving a stream cancels upstream: ${wire}`, async () => {
    await vendor.reset();
    // The SDK leaves a stream open that nobody reads any more, unless it is told.
    const leaving = new AbortController();
    const answer = await stream(`${wire}/slow`, {}, { abortSignal: leaving.signal });
    let seen = 0;
    for await (const _ of answer.stream) {
      if (++seen === 5) {
        leaving.abort();
        break;
      }
    }
    await vendor.becomes({ aborted: 1, answering: 0 });
    assert.equal((await entry(idOf(answer))).outcome, "client_gone");
  });

  test(`a body that is too large: ${wire}`, async () => {
    const error = await caught(whole(`${wire}/any`, { messages: say("x".repeat(3_000_000)) }));
    assert.ok(error instanceof runtime.ValidationException, `${error}`);
    assert.equal(error.$metadata.httpStatusCode, 413);
  });
}

test("the control plane", async () => {
  const { modelSummaries } = await plane.send(new ListFoundationModelsCommand({}));
  const names = modelSummaries.map((model) => model.modelId);
  assert.ok(names.includes("sandbox") && names.includes("js-aws-openai-fault-429"));
  const { modelDetails } = await plane.send(new GetFoundationModelCommand({ modelIdentifier: "anthropic/any" }));
  assert.equal(modelDetails.modelId, "anthropic/any");
  // What the control plane calls a model, the runtime knows.
  assert.equal(textOf(await whole(modelDetails.modelArn)), "You said: hi");
  const profiles = [];
  for await (const page of control.paginateListInferenceProfiles({ client: plane, pageSize: 1 }, {})) {
    profiles.push(...page.inferenceProfileSummaries.map((profile) => profile.inferenceProfileId));
  }
  assert.ok(profiles.includes("us.scripted-v1:0"));
  const profile = await plane.send(new GetInferenceProfileCommand({ inferenceProfileIdentifier: "us.scripted-v1:0" }));
  assert.equal(textOf(await whole(profile.inferenceProfileArn)), "You said: hi");
  const error = await caught(plane.send(new GetFoundationModelCommand({ modelIdentifier: "sandbix" })));
  assert.ok(error instanceof control.ResourceNotFoundException);
});

test("a wrong secret, an unknown key and a revoked one", async () => {
  const gone = await revoked("js-aws");
  const pairs = [
    [process.env.AWS_ACCESS_KEY_ID, "wrong", "InvalidSignatureException"],
    ["AKIAIOSFODNN7EXAMPLE", "wrong", "UnrecognizedClientException"],
    [gone.aws_access_key_id, gone.aws_secret_access_key, "UnrecognizedClientException"],
  ];
  for (const [accessKeyId, secretAccessKey, name] of pairs) {
    const given = { maxAttempts: 1, credentials: { accessKeyId, secretAccessKey } };
    const [wrong, wrongPlane] = [new BedrockRuntimeClient(given), new BedrockClient(given)];
    const asking = [
      wrong.send(new ConverseCommand({ modelId: "sandbox", messages: HI })),
      wrongPlane.send(new ListFoundationModelsCommand({})),
    ];
    for (const error of await Promise.all(asking.map(caught))) {
      assert.deepEqual([error.name, error.$metadata.httpStatusCode], [name, 403]);
    }
    wrong.destroy();
  }
});

test("bearer keys", async () => {
  const bearer = (token) => new BedrockRuntimeClient({ maxAttempts: 1, token: { token }, authSchemePreference: ["httpBearerAuth"] });
  const [good, bad] = [bearer(process.env.OPENAI_API_KEY), bearer("wrong")];
  const command = () => new ConverseCommand({ modelId: "bedrock/any", messages: HI });
  assert.equal(textOf(await good.send(command())), "You said: hi");
  const error = await caught(bad.send(command()));
  assert.deepEqual([error.name, error.$metadata.httpStatusCode], ["UnrecognizedClientException", 403]);
  good.destroy();
  bad.destroy();
});

test("an unknown model", async () => {
  const error = await caught(whole("sandbix"));
  assert.ok(error instanceof runtime.ResourceNotFoundException);
  assert.match(error.message, /sandbox/);
});

test.after(() => client.destroy());
