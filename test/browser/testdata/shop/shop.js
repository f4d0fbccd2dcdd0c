// A page of another origin than the API's, for TestAnotherOrigin. The query says where
// the API is, who logs in, and what is ordered; the result is left in #result.
import { ApiError, follow } from "./orderflow.js";

const asked = Object.fromEntries(new URLSearchParams(location.search));
const at = (path) => asked.api + path;

async function call(method, path, { token, body, headers = {} } = {}) {
  const response = await fetch(at(path), {
    method,
    headers: { ...(body && { "Content-Type": "application/json" }), ...(token && { Authorization: `Bearer ${token}` }), ...headers },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  const isJSON = (response.headers.get("Content-Type") ?? "").includes("json");
  return { status: response.status, headers: response.headers, body: isJSON && text ? JSON.parse(text) : text };
}

const within = (what, promise) =>
  Promise.race([promise, new Promise((_, reject) => setTimeout(() => reject(new Error(`waited in vain for ${what}`)), 15_000))]);

/** The events of an order over the TypeScript client, up to one of a type. */
async function byClient(transport, token, after, order, last) {
  const types = [];
  const fail = (error) => {
    throw error;
  };
  for await (const event of follow({ url: asked.api, token, after, orderId: order, transport, signal: AbortSignal.timeout(15_000), onRetry: fail })) {
    types.push(event.type);
    if (event.type === last) return types;
  }
  throw new Error(`waited in vain over ${transport}`);
}

/** The same as Server-Sent Events, read by fetch with the Authorization header. */
async function byFetch(token, after, order, last) {
  const stop = new AbortController();
  const response = await fetch(at(`/v1/events/stream?orderId=${order}`), {
    headers: { Authorization: `Bearer ${token}`, "Last-Event-ID": after, "Cache-Control": "no-cache" },
    signal: stop.signal,
  });
  const read = async () => {
    let text = "";
    for (const reader = response.body.pipeThrough(new TextDecoderStream()).getReader(); !text.includes(`"type":"${last}"`); ) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`the stream ended: ${text}`);
      text += value;
    }
    return [...text.matchAll(/"type":"([^"]+)"/g)].map((match) => match[1]).filter((type) => !["ready", "notifications.unread"].includes(type));
  };
  try {
    return await within("the stream", read());
  } finally {
    stop.abort();
  }
}

/** The same by an EventSource, which cannot send a header, with a ticket. */
const byEventSource = (ticket, after, order, last) =>
  within(
    "the EventSource",
    new Promise((resolve, reject) => {
      const types = [];
      const source = new EventSource(at(`/v1/events/stream?ticket=${ticket}&after=${after}&orderId=${order}`));
      source.onerror = () => reject(new Error(`the EventSource failed, readyState ${source.readyState}`));
      source.onmessage = (message) => {
        types.push(JSON.parse(message.data).type);
        if (types.at(-1) === last) {
          source.close();
          resolve(types);
        }
      };
    }),
  );

async function visit() {
  const login = await call("POST", "/v1/auth/login", { body: { email: asked.email, password: asked.password } });
  const token = login.body.accessToken;
  const start = (await call("GET", "/v1/events", { token })).body.nextCursor;

  const order = { items: [{ sku: asked.sku, quantity: 1 }] };
  const key = { "Idempotency-Key": "from-a-page", traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "X-Request-ID": "page-1" };
  const placed = await call("POST", "/v1/orders", { token, body: order, headers: key });
  const again = await call("POST", "/v1/orders", { token, body: order, headers: key });
  const id = placed.body.id;
  let read, unchanged;
  do { // the order is being processed, so it may change between the two requests
    read = await call("GET", `/v1/orders/${id}`, { token });
    unchanged = await call("GET", `/v1/orders/${id}`, { token, headers: { "If-None-Match": read.headers.get("ETag") } });
  } while (unchanged.status === 200 && unchanged.headers.get("ETag") !== read.headers.get("ETag"));
  const stale = await call("POST", `/v1/orders/${id}/cancel`, { token, body: {}, headers: { "If-Match": '"999"' } });
  const missing = await call("GET", "/v1/orders/01900000-0000-7000-8000-000000000000", { token });
  const nowhere = await call("GET", "/v1/nowhere");
  const anonymous = await call("GET", "/v1/orders");
  const method = await call("POST", "/v1/orders/stats"); // of a method that the path does not have a page sees no more than that
  const text = await fetch(at("/v1/orders"), { method: "POST", headers: { Authorization: `Bearer ${token}`, "Content-Type": "text/plain" }, body: "x" });
  const invalid = await call("POST", "/v1/orders", { token, body: { items: [] } });
  const page = await call("GET", "/v1/products?limit=1");
  const document = await call("GET", "/openapi.json");
  const exported = await call("GET", "/v1/orders/export?format=csv", { token });

  const last = "order.processing";
  const socket = await byClient("websocket", token, start, id, last);
  const sse = await byClient("sse", token, start, id, last);
  const stream = await byFetch(token, start, id, last);
  const ticket = (await call("POST", "/v1/events/tickets", { token })).body.ticket;
  const source = await byEventSource(ticket, start, id, last);

  let limited = { status: 0 };
  for (let i = 0; i < 50 && limited.status !== 429; i++) {
    limited = await call("POST", "/v1/auth/login", { body: { email: asked.email, password: "wrong" } });
  }
  const refused = await follow({ url: asked.api, token: "nonsense" })[Symbol.asyncIterator]().next().catch((error) => error);
  return {
    order: id,
    login: login.status,
    placed: [placed.status, placed.headers.get("Location"), placed.headers.get("ETag"), placed.headers.get("X-Client-Request-ID")],
    again: [again.status, again.body.id, again.headers.get("Idempotency-Replayed")],
    unchanged: unchanged.status,
    stale: [stale.status, stale.body.code],
    missing: [missing.status, missing.body.code],
    nowhere: nowhere.status,
    anonymous: [anonymous.status, anonymous.headers.get("WWW-Authenticate")],
    method: [method.status, method.headers.get("Allow")],
    text: text.status,
    invalid: [invalid.status, invalid.body.code],
    link: page.headers.get("Link") !== null,
    document: document.body.openapi,
    exported: [exported.status, exported.headers.get("Content-Disposition")],
    socket, sse, stream, source,
    limited: [limited.status, limited.body.code, Number(limited.headers.get("Retry-After")) > 0, limited.headers.get("RateLimit") !== null],
    refused: [refused instanceof ApiError, refused.status, refused.code],
  };
}

/** What a page of an origin that is not listed gets to see. */
async function trespass() {
  const failed = async (promise) => promise.then((r) => `read a ${r.status}`, (error) => error.name);
  const report = async (transport) => {
    const stop = new AbortController();
    let message;
    const onRetry = (error) => {
      message = error.message;
      stop.abort();
    };
    for await (const event of follow({ url: asked.api, token: "x", transport, signal: stop.signal, onRetry })) return `read ${event.type}`;
    return message;
  };
  return {
    simple: await failed(fetch(at("/v1/products"))),
    preflighted: await failed(fetch(at("/v1/products"), { headers: { Authorization: "Bearer x" } })),
    error: await failed(fetch(at("/v1/nowhere"))),
    document: await failed(fetch(at("/openapi.json"))),
    socket: await new Promise((resolve) => {
      const socket = new WebSocket(at("/v1/events/ws?ticket=x").replace("http", "ws"));
      socket.onopen = () => resolve("opened");
      socket.onclose = (event) => resolve(event.code);
    }),
    retry: [await within("the client to report", report("websocket")), await within("the client to report", report("sse"))],
  };
}

const result = document.createElement("pre");
result.textContent = JSON.stringify(
  await (asked.email ? visit() : trespass()).catch((error) => ({ error: `${error.name}: ${error.message}\n${error.stack}` })),
);
result.id = "result";
document.body.append(result);
