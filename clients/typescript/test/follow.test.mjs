import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { WebSocket as Library } from "ws";
import { ApiError, ConnectionError, follow, logout } from "../dist/index.js";
import { account, collect, url, within } from "./server.mjs";

/** Both transports, with a way to cut every open connection. */
const transports = {
  websocket: () => {
    const open = new Set();
    class Fragile extends Library {
      constructor(address) {
        super(address);
        open.add(this);
        this.on("close", () => open.delete(this));
      }
    }
    return { options: { transport: "websocket", webSocket: Fragile }, open, cut: (one) => one.terminate() };
  },
  sse: () => {
    const open = new Set();
    const fragile = async (address, init) => {
      const stop = new AbortController();
      init.signal.addEventListener("abort", () => (open.delete(stop), stop.abort()));
      open.add(stop);
      return fetch(address, { ...init, signal: stop.signal });
    };
    return { options: { transport: "sse", fetch: fragile }, open, cut: (one) => (open.delete(one), one.abort()) };
  },
};
const quiet = { onRetry: () => {}, minDelay: 5, maxDelay: 50 };

for (const [name, transport] of Object.entries(transports)) {
  test(`E22 ${name}: every event once and in order, though the connection is cut again and again`, async () => {
    const { options, open, cut } = transport();
    const me = await account();
    const { cursor: after } = await me.log();
    const follower = follow({ url, token: me.token, after, ...quiet, ...options });
    let cuts = 0;
    let expected = Infinity;
    const ids = [];
    const following = collect(follower, () => ids.length >= expected, async (event) => {
      await null;
      ids.push(event.id);
    });
    const cutting = setInterval(() => {
      for (const one of open) {
        cut(one);
        cuts++;
      }
    }, 60);
    let orders = 0;
    for (; orders < 25 || cuts < 4; orders++) await me.order();
    clearInterval(cutting);
    const all = await me.settled(orders);
    expected = all.length;
    if (ids.length < expected) await following;
    else follower.close();

    assert.deepEqual(ids, all.map((event) => event.id));
  });

  test(`E22 ${name}: another process resumes after the cursor`, async () => {
    const { options } = transport();
    const me = await account();
    const order = await me.order();
    const all = await me.settled(1);

    const first = follow({ url, token: me.token, after: all[0].cursor, ...quiet, ...options });
    assert.deepEqual(await collect(first, () => true), [all[1]]);
    assert.equal(first.cursor, all[0].cursor, "the event was not handled to the end");
    const second = follow({ url, token: me.token, after: all[1].cursor, ...quiet, ...options });
    const rest = await collect(second, (_, got) => got.length === all.length - 2);
    assert.deepEqual(rest, all.slice(2));
    assert.equal(rest[0].subject, order.id);
    // The same follower continues where it was left.
    assert.deepEqual(await collect(first, (_, got) => got.length === all.length - 1), all.slice(1));
  });

  test(`E22 ${name}: a cursor that cannot be resumed is a reset, and the stream goes on`, async () => {
    const { options } = transport();
    const me = await account();
    const follower = follow({ url, token: me.token, after: "00000000-1-1", types: ["order.created"], ...quiet, ...options });
    const seen = await collect(follower, (event) => event.type === "order.created", (event) => event.type === "reset" && me.order());

    assert.deepEqual(seen.map((event) => event.type), ["reset", "order.created"]);
    assert.equal(typeof seen[0].cursor, "string");
  });

  test(`E22 ${name}: an abort ends the iteration at any time, and states and unread counts are reported`, async () => {
    const { options, open } = transport();
    const me = await account();
    const stop = new AbortController();
    const told = [];
    const follower = follow({
      url, token: me.token, types: ["notifications.unread"], signal: stop.signal, ...quiet, ...options,
      onState: (state) => told.push(state) && state === "live" && me.order(),
      onUnread: (unread) => {
        told.push(unread);
        if (unread === 1) stop.abort();
      },
    });
    assert.deepEqual(await collect(follower, () => false), []);
    assert.deepEqual([told[0], told[1], told.at(-2), told.at(-1)], ["connecting", "live", 1, "closed"]);
    assert.deepEqual(await collect(follow({ url, token: me.token, signal: AbortSignal.abort(), ...options }), () => false), []);
    await within((async () => { while (open.size > 0) await new Promise(setImmediate); })());
  });

  test(`E22 ${name}: a token that is rejected is asked for once more; a second rejection is an error`, async () => {
    const { options } = transport();
    const me = await account();
    const asked = [];
    const token = (reason) => (asked.push(reason.rejected), reason.rejected ? me.token(reason) : "expired");
    const { cursor: after } = await me.log();
    await me.order();
    const [event] = await collect(follow({ url, token, after, ...quiet, ...options }), () => true);
    assert.equal(event.type, "order.created");
    assert.deepEqual(asked, [false, true]);

    for (const bad of ["nonsense", () => "nonsense"]) {
      await assert.rejects(collect(follow({ url, token: bad, ...quiet, ...options }), () => true), (error) => {
        assert.ok(error instanceof ApiError && error.status === 401 && error.code === "invalid-token", String(error));
        return true;
      });
    }
    const thrown = new Error("the password manager is locked");
    await assert.rejects(collect(follow({ url, token: () => Promise.reject(thrown), ...quiet, ...options }), () => true), thrown);
  });

  test(`E22 ${name}: the end of the session ends an open stream`, async () => {
    const { options } = transport();
    const me = await account();
    const follower = follow({
      url, token: await me.token({ rejected: false }), ...quiet, ...options,
      onState: (state) => state === "live" && logout({ client: me.client, body: {} }),
    });
    await assert.rejects(collect(follower, () => true), (error) => error instanceof ApiError && error.status === 401);
  });

  test(`E22 ${name}: what a handler throws ends the iteration and closes the connection`, async () => {
    const { options, open } = transport();
    const me = await account();
    await me.order();
    const [first] = await me.settled(1);
    const follower = follow({ url, token: me.token, after: first.cursor, ...quiet, ...options });
    const thrown = new Error("no space left on the disk");
    await assert.rejects(collect(follower, () => false, () => Promise.reject(thrown)), thrown);
    assert.equal(follower.cursor, first.cursor, "the cursor is before the event that was not handled");
    await within((async () => { while (open.size > 0) await new Promise(setImmediate); })());
  });

  test(`E22 ${name}: failures that may pass are reported and repeated, and Retry-After is obeyed`, async () => {
    const { webSocket, transport: kind } = transport().options;
    let answered = 0;
    const busy = createServer((_, response) => {
      const status = [503, 429, 404][answered++];
      response.writeHead(status, { "Retry-After": "0.02" }).end(JSON.stringify({ code: `code-${status}`, detail: "Busy." }));
    });
    await new Promise((resolve) => busy.listen(0, "127.0.0.1", resolve));
    const told = [];
    const options = { token: "x", transport: kind, webSocket, minDelay: 0, onRetry: (error, delay) => told.push([error, delay]) };
    await assert.rejects(collect(follow({ url: `http://127.0.0.1:${busy.address().port}`, ...options }), () => true), (error) => {
      assert.ok(error instanceof ApiError && error.status === 404 && error.code === "code-404", String(error));
      return true;
    });
    busy.close();
    assert.deepEqual(told.map(([error, delay]) => [error.cause.code, delay]), [["code-503", 20], ["code-429", 20]]);

    const stop = new AbortController();
    const away = [];
    const unreachable = follow({
      url: "http://127.0.0.1:1", token: "x", transport: kind, webSocket, minDelay: 1, maxDelay: 2, signal: stop.signal,
      onRetry: (error, delay) => away.push([error, delay]) === 3 && stop.abort(),
    });
    assert.deepEqual(await collect(unreachable, () => false), []);
    for (const [error, delay] of away) {
      assert.ok(error instanceof ConnectionError && error.cause && delay <= 2, `${error} ${delay}`);
      assert.match(error.message, /The request for .* failed/);
    }
  });

  test(`E22 ${name}: a silent connection is replaced`, async () => {
    const { options } = transport();
    const me = await account();
    const stop = new AbortController();
    const why = [];
    const follower = follow({
      url, token: me.token, ...quiet, ...options, maxSilence: 200, signal: stop.signal,
      onRetry: (error) => why.push(error.message) === 2 && stop.abort(),
    });
    await collect(follower, () => false);
    assert.deepEqual(why, Array(2).fill("The connection was silent for too long"));
  });
}

test("E22: the delay doubles, is random, and begins anew after a success", async () => {
  const delays = [];
  const stop = new AbortController();
  const random = Math.random;
  Math.random = () => 0.5;
  try {
    const follower = follow({
      url: "http://127.0.0.1:1", token: "x", transport: "sse", minDelay: 2, maxDelay: 10, signal: stop.signal,
      onRetry: (_, delay) => delays.push(delay) === 5 && stop.abort(),
    });
    await collect(follower, () => false);
  } finally {
    Math.random = random;
  }
  assert.deepEqual(delays, [1, 2, 4, 5, 5]);
});

test("E22: a handler that is slower than the events loses none over a WebSocket", async () => {
  const frames = Array.from({ length: 2500 }, (_, i) => ({ type: "order.created", id: i, cursor: String(i + 1) }));
  let connections = 0;
  class Burst {
    constructor(address) {
      connections++;
      const after = Number(new URL(address).searchParams.get("after") ?? 0);
      queueMicrotask(() => {
        for (const frame of frames.slice(after)) this.onmessage?.({ data: JSON.stringify(frame) });
      });
    }
    close() {}
  }
  const ticket = async () => Response.json({ ticket: "t" });
  const follower = follow({ url: "http://test", token: "x", transport: "websocket", webSocket: Burst, fetch: ticket, ...quiet });
  const seen = await collect(follower, (_, all) => all.length === frames.length);
  assert.deepEqual(seen, frames);
  assert.ok(connections >= 3, `${connections} connections`);
});

test("E22: a runtime without a WebSocket uses Server-Sent Events", async () => {
  const real = globalThis.WebSocket;
  globalThis.WebSocket = undefined;
  try {
    const paths = [];
    const fetch = async (address) => (paths.push(address.pathname), new Response("{}", { status: 404 }));
    await assert.rejects(collect(follow({ url, token: "x", fetch }), () => true), ApiError);
    assert.deepEqual(paths, ["/v1/events/stream"]);
    await assert.rejects(collect(follow({ url, token: "x", transport: "websocket" }), () => true), TypeError);
  } finally {
    globalThis.WebSocket = real;
  }
});
