// Clients pointed at the server that run.sh started, and a look at what its vendor got.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";

const SCRIPTED = process.env.SCRIPTED_URL;
const STEELYARD = process.env.STEELYARD_URL;

/** Configured as users do it: by OPENAI_BASE_URL and OPENAI_API_KEY. */
export const client = new OpenAI({ maxRetries: 0 });

export const HI = [{ role: "user", content: "hi" }];

export const echo = (content) => [{ role: "user", content }];

/** A tool that takes a city. */
export const weather = (name) => ({
  type: "function",
  function: {
    name,
    strict: true,
    parameters: {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
      additionalProperties: false,
    },
  },
});

const json = async (url, options) => (await fetch(url, options)).json();

export const vendor = {
  reset: () => json(`${SCRIPTED}/control/reset`, { method: "POST" }),
  requests: () => json(`${SCRIPTED}/control/requests`),
  last: async () => (await vendor.requests()).at(-1),
  state: () => json(`${SCRIPTED}/control/state`),
  /** Waits until the state has these values. */
  async becomes(wanted) {
    let state;
    for (let round = 0; round < 500; round++) {
      state = await vendor.state();
      if (Object.entries(wanted).every(([name, value]) => state[name] === value)) return;
      await sleep(20);
    }
    assert.fail(`the vendor's state never became ${JSON.stringify(wanted)}: ${JSON.stringify(state)}`);
  },
};

/** The ledger's entry of a request id. */
export async function entry(requestId) {
  const headers = { authorization: `Bearer ${process.env.STEELYARD_ADMIN_KEY}` };
  for (let round = 0; round < 200; round++) {
    const { data } = await json(`${STEELYARD}/api/v1/ledger/entries?request_id=${requestId}`, { headers });
    if (data.length > 0) {
      assert.equal(data.length, 1);
      return data[0];
    }
    await sleep(50);
  }
  assert.fail(`no entry of ${requestId}`);
}
