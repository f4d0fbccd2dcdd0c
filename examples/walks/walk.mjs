// Places an order, follows it, and receives and verifies a webhook, with Node 20 or later alone.
//
//   node examples/walks/walk.mjs
//
// It needs a running server at ORDERFLOW_URL. ORDERFLOW is the program to run `orderflow listen` with;
// without it, it is built from this repository.
import { execFileSync, spawn } from "node:child_process";
import { createHmac, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

const server = process.env.ORDERFLOW_URL ?? "http://localhost:3000";
const files = mkdtempSync(join(tmpdir(), "walk-"));
const orderflow = process.env.ORDERFLOW ?? join(files, "orderflow");
if (!process.env.ORDERFLOW) execFileSync("go", ["build", "-o", orderflow, "./cmd/orderflow"], { stdio: "inherit" });
const email = `walk-${process.pid}-${Date.now()}@example.com`;
const password = "a quiet blue morning";

let token = "";

async function call(method, path, body, headers = {}) {
  const response = await fetch(new URL(path, server), {
    method,
    headers: { ...(token && { authorization: `Bearer ${token}` }), ...(body && { "content-type": "application/json" }), ...headers },
    body: body && JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${answer.code}: ${answer.detail}`);
  return answer;
}

/** Yields the events of an event stream. A program that has to survive interruptions uses clients/typescript. */
async function* events(path, signal) {
  const response = await fetch(new URL(path, server), { headers: { authorization: `Bearer ${token}` }, signal });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  let text = "";
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const messages = text.split("\n\n");
    text = messages.pop();
    for (const message of messages) {
      const data = message.split("\n").find((line) => line.startsWith("data: "));
      if (data && !message.includes("event: ")) yield JSON.parse(data.slice("data: ".length));
    }
  }
}

/** Standard Webhooks 1.0: HMAC-SHA256 of id, time and body. */
function verify(secret, headers, body) {
  const id = headers["webhook-id"];
  const at = headers["webhook-timestamp"];
  if (Math.abs(Date.now() / 1000 - Number(at)) > 300) throw new Error("the message is too old or too new");
  const want = createHmac("sha256", Buffer.from(secret.replace("whsec_", ""), "base64")).update(`${id}.${at}.`).update(body).digest();
  const valid = (headers["webhook-signature"] ?? "").split(" ").some((signature) => {
    const [version, value] = signature.split(",");
    const got = Buffer.from(value ?? "", "base64");
    return version === "v1" && got.length === want.length && timingSafeEqual(got, want);
  });
  if (!valid) throw new Error("the signature is not valid");
  return JSON.parse(body);
}

console.log("1. Register, log in, look around.");
await call("POST", "/v1/auth/register", { email, password });
token = (await call("POST", "/v1/auth/login", { email, password })).accessToken;
const { data: products } = await call("GET", "/v1/products");
if (!products.some((product) => product.sku === "GRINDER-HAND-01")) throw new Error("there are no demo products");

let received;
const hook = new Promise((resolve) => (received = resolve));
const receiver = createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  response.writeHead(204).end();
  received({ headers: request.headers, body: Buffer.concat(parts) });
});
receiver.listen(Number(process.env.PORT ?? 4000), "127.0.0.1");
await once(receiver, "listening");
console.log(`2. Listen for webhooks at port ${receiver.address().port}.`);
const listener = spawn(
  orderflow,
  ["listen", `--server=${server}`, `--email=${email}`, "--types=order.created", `--forward=http://127.0.0.1:${receiver.address().port}/hooks`],
  { env: { ...process.env, ORDERFLOW_PASSWORD: password }, stdio: ["ignore", "pipe", "inherit"] },
);
try {
  let printed = "";
  for await (const chunk of listener.stdout.iterator({ destroyOnReturn: false })) {
    printed += chunk;
    if (/listening/i.test(printed)) break;
  }
  listener.stdout.resume();
  const secret = printed.match(/whsec_[A-Za-z0-9+/=]*/)?.[0];
  if (!secret) throw new Error(`orderflow listen printed no secret: ${printed}`);

  console.log("3. Place an order.");
  const order = await call("POST", "/v1/orders", { items: [{ sku: "GRINDER-HAND-01", quantity: 1 }] }, { "idempotency-key": email });
  console.log(`   ${order.id}`);

  console.log("4. Follow it until it is being fulfilled.");
  const enough = new AbortController();
  for await (const event of events(`/v1/events/stream?after=start&orderId=${order.id}`, AbortSignal.any([enough.signal, AbortSignal.timeout(60_000)]))) {
    console.log(`   ${event.type}`);
    if (event.type === "order.processing") break;
  }
  enough.abort();

  console.log("5. Verify the webhook.");
  const { headers, body } = await Promise.race([
    hook,
    new Promise((_, reject) => setTimeout(() => reject(new Error("no webhook within a minute")), 60_000).unref()),
  ]);
  const event = verify(secret, headers, body);
  if (event.subject !== order.id) throw new Error("the message is about another order");
  console.log(`   ${event.type} is signed by the server`);
} finally {
  listener.kill();
  receiver.closeAllConnections();
  receiver.close();
  rmSync(files, { recursive: true });
}
