import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { test } from "node:test";
import { createWebhook, rotateWebhookSecret, testWebhook, verifyWebhook, WebhookVerificationError } from "../dist/index.js";
import { account, within } from "./server.mjs";

const newSecret = (bytes = 32) => `whsec_${randomBytes(bytes).toString("base64")}`;
const now = new Date("2026-01-31T12:00:00Z");
const body = '{"type":"order.created","id":"Käse"}';

function sign({ id = "msg_1", at = now.getTime() / 1000, secret, text = body }) {
  const key = Buffer.from(secret.slice(6), "base64");
  const signature = `v1,${createHmac("sha256", key).update(`${id}.${at}.${text}`).digest("base64")}`;
  return { "webhook-id": id, "webhook-timestamp": String(at), "webhook-signature": signature };
}

const code = (promise) =>
  promise.then(
    () => "verified",
    (error) => (error instanceof WebhookVerificationError ? error.code : String(error)),
  );

test("E22: a message is verified in every form in which a framework passes it", async () => {
  const secret = newSecret();
  const headers = sign({ secret });
  const bytes = new TextEncoder().encode(body);
  const upper = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toUpperCase(), [value]]));
  for (const form of [body, bytes, bytes.buffer, Buffer.from(body), new DataView(bytes.buffer)]) {
    for (const shape of [headers, upper, new Headers(headers)]) {
      assert.equal((await verifyWebhook({ body: form, headers: shape, secret, now })).id, "Käse");
    }
  }
});

test("E22: while secrets are rotated one of each side suffices", async () => {
  const [old, current, other] = [newSecret(24), newSecret(64), newSecret()];
  const both = { ...sign({ secret: current }) };
  both["webhook-signature"] = `v1a,xyz v2,AAAA ${both["webhook-signature"]} ${sign({ secret: old })["webhook-signature"]}`;
  assert.equal(await code(verifyWebhook({ body, headers: both, secret: old, now })), "verified");
  assert.equal(await code(verifyWebhook({ body, headers: sign({ secret: old }), secret: [current, old], now })), "verified");
  assert.equal(await code(verifyWebhook({ body, headers: both, secret: [other], now })), "no-matching-signature");
});

test("E22: everything else is rejected, with a code and without the secret", async () => {
  const secret = newSecret();
  const good = sign({ secret });
  const seconds = now.getTime() / 1000;
  const rows = [
    ["verified", { headers: sign({ secret, at: seconds - 300 }) }],
    ["timestamp-too-old", { headers: sign({ secret, at: seconds - 301 }) }],
    ["verified", { headers: sign({ secret, at: seconds + 300 }) }],
    ["timestamp-too-new", { headers: sign({ secret, at: seconds + 301 }) }],
    ["verified", { headers: sign({ secret, at: seconds - 3000 }), tolerance: 3000 }],
    ["timestamp-too-old", { now: undefined }],
    ["no-matching-signature", { body: body.replace("created", "shipped") }],
    ["no-matching-signature", { body: `${body} ` }],
    ["no-matching-signature", { headers: { ...good, "webhook-id": "msg_2" } }],
    ["no-matching-signature", { headers: { ...good, "webhook-timestamp": String(seconds + 1) } }],
    ["no-matching-signature", { headers: { ...good, "webhook-signature": "v1,%%%" } }],
    ["no-matching-signature", { headers: { ...good, "webhook-signature": good["webhook-signature"].replace("v1,", "v2,") } }],
    ["no-matching-signature", { headers: { ...good, "webhook-signature": "v1, ".repeat(50) + good["webhook-signature"] } }],
    ["no-matching-signature", { secret: newSecret() }],
    ["invalid-header", { headers: { ...good, "webhook-timestamp": "1e9" } }],
    ["invalid-header", { headers: { ...good, "webhook-timestamp": "-1" } }],
    ["missing-header", { headers: { ...good, "webhook-id": undefined } }],
    ["missing-header", { headers: new Headers() }],
    ["missing-header", { headers: { ...good, "webhook-signature": "" } }],
    ["invalid-secret", { secret: [] }],
    ["invalid-secret", { secret: "" }],
    ["invalid-secret", { secret: secret.slice(6) }],
    ["invalid-secret", { secret: newSecret(23) }],
    ["invalid-secret", { secret: newSecret(65) }],
    ["invalid-body", { body: "{", headers: sign({ secret, text: "{" }) }],
    ["invalid-body", { body: Buffer.from([0x22, 0xff, 0x22]), headers: signBytes(secret, Buffer.from([0x22, 0xff, 0x22])) }],
  ];
  for (const [want, change] of rows) {
    assert.equal(await code(verifyWebhook({ body, headers: good, secret, now, ...change })), want, JSON.stringify(change));
  }
  const error = await verifyWebhook({ body, headers: good, secret: secret.slice(6), now }).catch((error) => error);
  assert.ok(!error.message.includes(secret.slice(6)));
});

function signBytes(secret, bytes) {
  const at = String(now.getTime() / 1000);
  const mac = createHmac("sha256", Buffer.from(secret.slice(6), "base64")).update(`msg_1.${at}.`).update(bytes);
  return { "webhook-id": "msg_1", "webhook-timestamp": at, "webhook-signature": `v1,${mac.digest("base64")}` };
}

test("E22: messages of the server are verified, before and after the secret is rotated", async () => {
  const got = [];
  let arrived = () => {};
  const receiver = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    got.push({ body: Buffer.concat(chunks), headers: request.headers });
    response.writeHead(204).end();
    arrived();
  });
  await new Promise((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  const next = async () => {
    while (got.length === 0) await within(new Promise((resolve) => (arrived = resolve)));
    return got.shift();
  };
  try {
    const me = await account();
    const { data: hook } = await createWebhook({ client: me.client, body: { url: `http://127.0.0.1:${receiver.address().port}`, types: ["order.created"] } });
    await testWebhook({ client: me.client, path: { id: hook.id } });
    assert.equal((await verifyWebhook({ ...(await next()), secret: hook.secret })).type, "webhook.test");
    const order = await me.order();
    const event = await verifyWebhook({ ...(await next()), secret: hook.secret });
    assert.deepEqual([event.type, event.subject, event.deliverynumber, event.data.order.id], ["order.created", order.id, 1, order.id]);

    const { data: rotated } = await rotateWebhookSecret({ client: me.client, path: { id: hook.id } });
    await me.order();
    const message = await next();
    for (const secret of [hook.secret, rotated.secret]) {
      assert.equal((await verifyWebhook({ ...message, secret })).deliverynumber, 2);
    }
  } finally {
    receiver.close();
    receiver.closeAllConnections();
  }
});
