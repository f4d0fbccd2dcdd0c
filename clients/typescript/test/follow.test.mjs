// Runs against a real server: ORDERFLOW_URL, and a product with the SKU in ORDERFLOW_SKU.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { before, test } from "node:test";
import { WebSocket as Library } from "ws";
import { follow, Refused } from "../dist/orderflow.js";

const url = process.env.ORDERFLOW_URL;
const sku = process.env.ORDERFLOW_SKU;
let token;

async function call(method, path, body, bearer = token) {
  const response = await fetch(url + path, {
    method,
    headers: { "Content-Type": "application/json", ...(bearer && { Authorization: `Bearer ${bearer}` }) },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : undefined;
}

async function account() {
  const person = { email: `ts-${process.pid}-${Math.random()}@example.com`, password: "a quiet blue morning" };
  await call("POST", "/v1/auth/register", person, "");
  return (await call("POST", "/v1/auth/login", person, "")).accessToken;
}

const order = (bearer) => call("POST", "/v1/orders", { items: [{ sku, quantity: 1 }] }, bearer);

/** All events there are, by the other transport. */
async function log(bearer) {
  const all = [];
  for (let after = ""; ; ) {
    const page = await call("GET", `/v1/events?limit=500${after}`, undefined, bearer);
    all.push(...page.data);
    if (page.data.length === 0) return all;
    after = `&after=${page.nextCursor}`;
  }
}

/** Resolves when it holds; what changes it calls look. */
function watch(holds) {
  let look;
  const done = new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error("waited in vain")), 120_000);
    look = () => {
      if (holds()) {
        clearTimeout(late);
        resolve();
      }
    };
  });
  return { look: () => look(), done };
}

before(async () => {
  token = await account();
});

test("E3: every event once and in order, though the connection is cut again and again", async () => {
  const open = new Set();
  class Fragile extends Library {
    constructor(address) {
      super(address);
      open.add(this);
      this.on("close", () => open.delete(this));
    }
  }
  const mine = await account();
  const ids = [];
  let cuts = 0;
  let expected = Infinity;
  const seen = watch(() => ids.length >= expected);
  const follower = follow({
    url, token: mine, webSocket: Fragile, minDelay: 5, maxDelay: 50,
    onEvent: async (event) => {
      await null;
      ids.push(event.id);
      seen.look();
    },
    onError: assert.fail,
    after: (await call("GET", "/v1/events", undefined, mine)).nextCursor,
  });
  const cutting = setInterval(() => {
    for (const socket of open) {
      socket.terminate();
      cuts++;
    }
  }, 60);

  for (let i = 0; i < 40; i++) await order(mine);
  clearInterval(cutting);
  // Processing goes on for a moment: until all orders are done, there are more events to come.
  let all = await log(mine);
  while (all.filter((e) => e.type === "order.processing").length < 40) all = await log(mine);
  expected = all.length;
  seen.look();
  await seen.done;
  await follower.close();

  assert.deepEqual(ids, all.map((e) => e.id));
  assert.ok(cuts > 3, `cut ${cuts} times: this proves nothing`);
  assert.equal(follower.cursor, all.at(-1).cursor);
});

test("E3: another process resumes behind the cursor", async () => {
  const mine = await account();
  const first = await order(mine);
  let all = await log(mine);
  while (!all.some((e) => e.type === "order.processing")) all = await log(mine);
  const got = [];
  const done = watch(() => got.length === all.length - 2);

  const follower = follow({ url, token: mine, webSocket: Library, after: all[1].cursor, onEvent: (e) => (got.push(e), done.look()) });
  await done.done;
  await follower.close();

  assert.deepEqual(got, all.slice(2));
  assert.equal(got[0].subject, first.id);
});

test("E3: a cursor that cannot be resumed is a reset, and the stream goes on", async () => {
  const mine = await account();
  const seen = [];
  const done = watch(() => seen.some((e) => e === "order.created"));
  const ready = watch(() => seen.length > 0);
  const follower = follow({
    url, token: async () => mine, webSocket: Library, after: "00000000-1-1", types: ["order.created"],
    onReset: (cursor) => (seen.push("reset " + typeof cursor), ready.look()),
    onEvent: (e) => (seen.push(e.type), done.look()),
  });
  await ready.done;
  await order(mine);
  await done.done;
  await follower.close();

  assert.deepEqual(seen, ["reset string", "order.created"]);
});

test("E7: the unread count is told", async () => {
  const mine = await account();
  const counts = [];
  const live = watch(() => counts.includes("live"));
  const told = watch(() => counts.includes(1));
  const follower = follow({
    url, token: mine, webSocket: Library, types: ["notifications.unread"], onEvent: assert.fail,
    onState: (s) => (counts.push(s), live.look()), onUnread: (n) => (counts.push(n), told.look()),
  });
  await live.done;
  await order(mine);
  await told.done;
  await follower.close();

  assert.equal(counts.at(-1), "closed");
});

test("a credential that is refused ends it, and a handler that throws", async () => {
  for (const bad of ["nonsense", () => "nonsense"]) {
    const error = await new Promise((resolve) =>
      follow({ url, token: bad, webSocket: Library, minDelay: 1, onEvent: assert.fail, onError: resolve }),
    );
    assert.ok(error instanceof Refused && error.status === 401, String(error));
  }

  const mine = await account();
  await order(mine);
  const [first] = await log(mine);
  const thrown = new Error("no room on the disk");
  let follower;
  const error = await new Promise((resolve) => {
    follower = follow({
      url, token: mine, webSocket: Library, after: first.cursor, onError: resolve,
      onEvent: () => {
        throw thrown;
      },
    });
  });
  assert.equal(error, thrown);
  assert.equal(follower.cursor, first.cursor, "the cursor stays before what was not handled");
});

test("F10: a refusal with Retry-After is not repeated before", async () => {
  const real = globalThis.fetch;
  const asked = [];
  globalThis.fetch = async (...all) => {
    asked.push(performance.now());
    if (asked.length > 1) return real(...all);
    return new Response("{}", { status: 429, headers: { "Retry-After": "1" } });
  };
  const live = watch(() => asked.length === 2);
  const client = follow({ url, token, minDelay: 1, onEvent: () => {}, onState: () => live.look() });
  try {
    await live.done;
    assert.ok(asked[1] - asked[0] >= 990, `came back after ${asked[1] - asked[0]} ms`);
  } finally {
    globalThis.fetch = real;
    await client.close();
  }
});

test("a request that fails is reported, and so is one that is refused", async () => {
  const told = [];
  let follower;
  await new Promise((resolve) => {
    follower = follow({
      url: "http://127.0.0.1:1", token: "x", webSocket: Library, minDelay: 1, maxDelay: 2, onEvent: assert.fail, onError: assert.fail,
      onRetry: (error, delay) => told.push([error, delay]) === 3 && resolve(),
    });
  });
  await follower.close();
  for (const [error, delay] of told) {
    assert.match(error.message, /ticket failed/);
    assert.ok(error.cause && delay <= 2, String(delay));
  }

  const busy = createServer((_, response) => {
    const status = [503, 429, 404][answered++];
    response.writeHead(status, { "Retry-After": "0.002" }).end(JSON.stringify({ code: `code-${status}` }));
  });
  let answered = 0;
  await new Promise((resolve) => busy.listen(0, "127.0.0.1", resolve));
  const waits = [];
  const error = await new Promise((resolve) =>
    follow({
      url: `http://127.0.0.1:${busy.address().port}`, token: "x", webSocket: Library, minDelay: 0, onEvent: assert.fail, onError: resolve,
      onRetry: (why, delay) => waits.push([why.message.slice(0, 44), delay]),
    }),
  );
  busy.close();
  assert.deepEqual(waits, [["The request for a ticket was answered 503: {", 2], ["The request for a ticket was answered 429: {", 2]]);
  assert.ok(error instanceof Refused && error.status === 404 && error.code === "code-404", String(error));
});
