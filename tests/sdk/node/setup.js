// What the tests of every SDK need: the vendors that run.sh started, the ledger, and keys.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

const STEELYARD = process.env.STEELYARD_URL;

/** The wires that the vendors behind speak; each is the name of a channel too. */
export const WIRES = ["openai", "anthropic", "bedrock"];

export const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

export const SCHEMA = {
  type: "object",
  properties: { name: { type: "string" }, cities: { type: "array", items: { type: "string" } }, year: { type: "integer" } },
  required: ["name", "cities", "year"],
  additionalProperties: false,
};

export const HANSA = { name: "Hansa", cities: ["Lübeck", "Bergen"], year: 1356 };

/** The faults after which the ledger is looked at, one of each sort: it takes a moment to be filled. */
export const RECORDED = new Set(["400", "401", "429", "500"]);

/** What a tool takes. */
export const CITY = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};

/** A model that thinks. Bedrock's word for it is for Claude alone, which is known by its name. */
export const thinker = (wire) => (wire === "bedrock" ? "bedrock/anthropic.claude-reasoning" : `${wire}/reasoning`);

const json = async (url, options) => (await fetch(url, options)).json();

/** What the vendor of a wire got. */
export const vendors = Object.fromEntries(
  WIRES.map((wire) => {
    // Without the path that the vendor's wire begins with.
    const root = new URL(process.env[`SCRIPTED_${wire.toUpperCase()}`]).origin;
    const vendor = {
      reset: () => json(`${root}/control/reset`, { method: "POST" }),
      requests: () => json(`${root}/control/requests`),
      last: async () => (await vendor.requests()).at(-1),
      state: () => json(`${root}/control/state`),
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
    return [wire, vendor];
  }),
);

/** A call of the management API as its administrator. */
async function manage(method, path, body) {
  const headers = { authorization: `Bearer ${process.env.STEELYARD_ADMIN_KEY}`, "content-type": "application/json" };
  const answer = await fetch(`${STEELYARD}/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
  const text = await answer.text();
  return text && JSON.parse(text);
}

/** The ledger's entry of a request id. */
export async function entry(requestId) {
  for (let round = 0; round < 500; round++) {
    const { data } = await manage("GET", `/ledger/entries?request_id=${requestId}`);
    if (data.length > 0) {
      assert.equal(data.length, 1);
      return data[0];
    }
    await sleep(20);
  }
  assert.fail(`no entry of ${requestId}`);
}

/** A key that worked once. */
export async function revoked(name) {
  const key = await manage("POST", "/keys", { name: `revoked ${name}`, aws: true });
  await manage("DELETE", `/keys/${key.id}`);
  return key;
}

/** The error that a promise ends in. */
export async function caught(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail("no error came");
}
