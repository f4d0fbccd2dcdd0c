// A page of another origin than the API's, for TestResumptionInABrowser: it places orders and
// follows them in three ways while nodes are restarted. The test reads and sets window.test.
import { createOrderflowClient, createTicket, follow, listEvents, LoginSession, placeOrder } from "./orderflow.js";

const { api, email, password, sku } = Object.fromEntries(new URLSearchParams(location.search));
const state = { orders: 0, finish: false, reconnected: { websocket: 0, sse: 0, source: 0 }, result: undefined };
window.test = state;

const session = await LoginSession.login({ url: api }, { email, password });
const client = createOrderflowClient({ url: api, token: session.token });
const { data: start } = await listEvents({ client });
const after = start.nextCursor;

/** Collects events until all are there; more would be found by waiting for one after the last. */
const seen = { websocket: [], sse: [], source: [] };
const stop = new AbortController();

async function byClient(transport) {
  const onRetry = () => state.reconnected[transport]++;
  for await (const event of follow({ url: api, token: session.token, after, transport, signal: stop.signal, minDelay: 50, maxDelay: 500, onRetry })) {
    seen[transport].push(event.id ?? event.type);
  }
}

/** An EventSource with a ticket, as a page without a client opens it. Nothing here makes it reconnect. */
async function byEventSource() {
  const { data } = await createTicket({ client });
  const source = new EventSource(`${api}/v1/events/stream?ticket=${data.ticket}&after=${after}`);
  source.onmessage = (message) => seen.source.push(JSON.parse(message.data).id);
  source.addEventListener("reset", () => seen.source.push("reset"));
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) seen.source.push("closed for good");
    else state.reconnected.source++;
  };
}

/** Repeats a request that met a restart, with the same key. */
async function order() {
  const request = { client, body: { items: [{ sku, quantity: 1 }] }, headers: { "Idempotency-Key": crypto.randomUUID() } };
  for (;;) {
    try {
      await placeOrder(request);
      state.orders++;
      return;
    } catch (error) {
      if (!(error instanceof TypeError) && !error.temporary) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** All events of the log when all orders are processed. */
async function log() {
  for (;;) {
    const all = [];
    for (let cursor = after; ; ) {
      const { data: page } = await listEvents({ client, query: { after: cursor, limit: 500 } });
      all.push(...page.data);
      if (page.data.length === 0) break;
      cursor = page.nextCursor;
    }
    if (all.filter((event) => event.type === "order.processing").length === state.orders) return all.map((event) => event.id);
  }
}

const settled = (ids) => Object.values(seen).every((list) => list.length >= ids.length || list.includes("closed for good"));

try {
  const failed = [];
  for (const transport of ["websocket", "sse"]) byClient(transport).catch((error) => failed.push(`${transport}: ${error}`));
  await byEventSource();
  while (!state.finish) {
    await order();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const ids = await log();
  while (!settled(ids) && failed.length === 0) await new Promise((resolve) => setTimeout(resolve, 50));
  stop.abort();
  state.result = { log: ids, seen, failed };
} catch (error) {
  state.result = { error: `${error}\n${error.stack}` };
}
