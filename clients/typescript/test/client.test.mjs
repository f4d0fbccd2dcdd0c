import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, createOrderflowClient, getMe, getOrder, listProducts, placeOrder, LoginSession } from "../dist/index.js";
import { parseRetryAfter } from "../dist/errors.js";
import { account, sku, url } from "./server.mjs";

test("E22: an order is placed once per Idempotency-Key, and read", async () => {
  const me = await account();
  const request = { client: me.client, body: { items: [{ sku, quantity: 2 }] }, headers: { "Idempotency-Key": `k-${Math.random()}` } };
  const first = await placeOrder(request);
  const again = await placeOrder(request);
  assert.equal(again.data.id, first.data.id);
  assert.equal(again.response.headers.get("Idempotency-Replayed"), "true");
  const { data: order } = await getOrder({ client: me.client, path: { id: first.data.id } });
  assert.deepEqual(order.items.map((item) => [item.sku, item.quantity]), [[sku, 2]]);
  const { data: page } = await listProducts({ client: createOrderflowClient({ url: `${url}/` }), query: { limit: 1 } });
  assert.equal(page.data.length, 1);
});

test("E22: an error status is an ApiError with the problem", async () => {
  const me = await account();
  const invalid = await placeOrder({ client: me.client, body: { items: [] } }).catch((error) => error);
  assert.ok(invalid instanceof ApiError && invalid instanceof Error);
  assert.deepEqual([invalid.status, invalid.code, invalid.temporary], [422, "invalid", false]);
  assert.ok(invalid.requestId && invalid.problem.errors.length > 0 && invalid.message.startsWith("invalid: "), invalid.message);

  const anonymous = await getMe({ client: createOrderflowClient({ url }) }).catch((error) => error);
  assert.deepEqual([anonymous.status, anonymous.code], [401, "unauthenticated"]);
  const unreachable = await getMe({ client: createOrderflowClient({ url: "http://127.0.0.1:1", token: "x" }) }).catch((error) => error);
  assert.ok(unreachable instanceof TypeError, String(unreachable));

  const proxy = async () => new Response("<h1>Bad gateway</h1>", { status: 502, headers: { "Retry-After": "3" } });
  const gateway = await getMe({ client: createOrderflowClient({ url, fetch: proxy }) }).catch((error) => error);
  assert.deepEqual([gateway.status, gateway.code, gateway.retryAfter, gateway.temporary], [502, undefined, 3000, true]);
});

test("E22: a token that expired is refreshed once for all requests, and the request is repeated with its body", async () => {
  const stored = [];
  const me = await account({ onRefresh: (tokens) => stored.push(tokens) });
  let sent = 0;
  // The first requests carry a token that the server rejects.
  const token = async (reason) => (reason.rejected ? me.token(reason) : stored.length ? me.token(reason) : "expired");
  const counting = (...all) => (sent++, fetch(...all));
  const client = createOrderflowClient({ url, token, fetch: counting });
  const orders = await Promise.all([1, 2, 3].map((quantity) => placeOrder({ client, body: { items: [{ sku, quantity }] } })));
  assert.deepEqual(orders.map(({ data }) => data.items[0].quantity), [1, 2, 3]);
  assert.deepEqual([stored.length, sent], [1, 6]);

  // Another process continues with the stored tokens.
  const later = new LoginSession({ url }, stored[0]);
  const { data } = await getMe({ client: createOrderflowClient({ url, token: later.token }) });
  assert.equal(data.email, me.email);

  const revoked = createOrderflowClient({ url, token: () => "nonsense" });
  const error = await getMe({ client: revoked }).catch((error) => error);
  assert.deepEqual([error.status, error.code], [401, "invalid-token"]);
});

test("E22: Retry-After in both forms", () => {
  for (const [header, want] of [["2", 2000], ["0", 0], ["", undefined], [null, undefined], ["soon", undefined], [new Date(Date.now() - 5000).toUTCString(), 0]]) {
    assert.equal(parseRetryAfter(header), want, String(header));
  }
  const ahead = parseRetryAfter(new Date(Date.now() + 10_000).toUTCString());
  assert.ok(ahead > 8000 && ahead <= 10_000, String(ahead));
});
