// The tests run against a real server: ORDERFLOW_URL, and a product with the SKU in ORDERFLOW_SKU.
import assert from "node:assert/strict";
import { createOrderflowClient, listEvents, placeOrder, register, LoginSession } from "../dist/index.js";

export const url = process.env.ORDERFLOW_URL;
export const sku = process.env.ORDERFLOW_SKU;
export const password = "a quiet blue morning";
assert.ok(url && sku, "ORDERFLOW_URL and ORDERFLOW_SKU are required");

/** Returns a new account with a client. */
export async function account(options = {}) {
  const email = `ts-${process.pid}-${Math.random()}@example.com`;
  await register({ client: createOrderflowClient({ url }), body: { email, password } });
  const session = await LoginSession.login({ url, ...options }, { email, password });
  const client = createOrderflowClient({ url, token: session.token });
  return {
    email, session, client, token: session.token,
    order: async () => (await placeOrder({ client, body: { items: [{ sku, quantity: 1 }] } })).data,
    /** All events there are, by the third transport. */
    log: async () => {
      const all = [];
      for (let after; ; ) {
        const { data: page } = await listEvents({ client, query: { limit: 500, after } });
        all.push(...page.data);
        if (page.data.length === 0) return { all, cursor: page.nextCursor };
        after = page.nextCursor;
      }
    },
    /** The log when no order is being processed any more. */
    settled: async function (orders) {
      for (;;) {
        const { all } = await this.log();
        if (all.filter((event) => event.type === "order.processing").length === orders) return all;
      }
    },
  };
}

/** Fails after two minutes. */
export const within = (promise) =>
  new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error("waited in vain")), 120_000);
    promise.then(resolve, reject).finally(() => clearTimeout(late));
  });

/** Collects what a follower yields until one fulfils the condition. */
export async function collect(follower, done, each = () => {}) {
  const all = [];
  await within(
    (async () => {
      for await (const event of follower) {
        all.push(event);
        await each(event);
        if (done(event, all)) return;
      }
    })(),
  );
  return all;
}
