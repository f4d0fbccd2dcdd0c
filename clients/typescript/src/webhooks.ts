import type { Event as OrderEvent } from "./api/types.gen.js";

/** What a webhook receives: an event with its number among the deliveries of the webhook, or a test. */
export type WebhookEvent = (OrderEvent & { deliverynumber: number }) | WebhookTestEvent;

/** The event that `testWebhook` sends. */
export interface WebhookTestEvent {
  specversion: "1.0";
  id: string;
  source: string;
  type: "webhook.test";
  time: string;
  data: unknown;
}

export interface VerifyOptions {
  /** The body exactly as it was received. Parsing and rendering it again changes it. */
  body: string | ArrayBuffer | ArrayBufferView;
  /** The headers of the request: those of fetch, or of Node.js. */
  headers: Headers | Record<string, string | string[] | undefined>;
  /** The secret of the webhook (`whsec_...`), or several while it is rotated: one of them must fit. */
  secret: string | string[];
  /** Seconds by which the time of the message may differ from the clock. Default: 300. */
  tolerance?: number;
  /** The present time. Default: the clock. */
  now?: Date;
}

export type WebhookFault = "missing-header" | "invalid-header" | "invalid-secret" | "timestamp-too-old" | "timestamp-too-new" | "no-matching-signature" | "invalid-body";

/** The message is not from the server, not for one of the secrets, or too old. Respond with 400. */
export class WebhookVerificationError extends Error {
  constructor(
    readonly code: WebhookFault,
    message: string,
  ) {
    super(message);
    this.name = "WebhookVerificationError";
  }
}

/**
 * Verifies the signature and the time of a message as Standard Webhooks 1.0 specifies, and returns
 * its event. It throws a `WebhookVerificationError`, or a `TypeError` where WebCrypto is missing.
 *
 * A message may come more than once; `id` is the same each time. It uses WebCrypto, which Node.js,
 * Deno, Bun, workers and browsers have.
 */
export async function verifyWebhook(options: VerifyOptions): Promise<WebhookEvent> {
  const id = header(options.headers, "webhook-id");
  const timestamp = header(options.headers, "webhook-timestamp");
  const signatures = header(options.headers, "webhook-signature");
  const secrets = [options.secret].flat();
  if (secrets.length === 0) throw new WebhookVerificationError("invalid-secret", "There is no secret.");
  const keys = await Promise.all(secrets.map(importSecret));
  checkTime(timestamp, options);

  const body = bytesOf(options.body);
  const head = new TextEncoder().encode(`${id}.${timestamp}.`);
  const signed = new Uint8Array(head.length + body.length);
  signed.set(head);
  signed.set(body, head.length);
  if (!(await matches(keys, signatures, signed))) {
    throw new WebhookVerificationError("no-matching-signature", "No signature matches a secret.");
  }
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw new WebhookVerificationError("invalid-body", "The body is not JSON.");
  }
}

function header(headers: VerifyOptions["headers"], name: string): string {
  let value: string | null | undefined;
  if (typeof (headers as Headers).get === "function") {
    value = (headers as Headers).get(name);
  } else {
    for (const [key, found] of Object.entries(headers as Record<string, string | string[] | undefined>)) {
      if (key.toLowerCase() !== name) continue;
      value = Array.isArray(found) ? found.join(" ") : found;
    }
  }
  if (!value) throw new WebhookVerificationError("missing-header", `The header ${name} is missing.`);
  return value;
}

async function importSecret(secret: string): Promise<CryptoKey> {
  const raw = secret.startsWith("whsec_") ? decodeBase64(secret.slice("whsec_".length)) : undefined;
  // The specification requires 24 to 64 bytes. The message does not quote the secret.
  if (!raw || raw.length < 24 || raw.length > 64) {
    throw new WebhookVerificationError("invalid-secret", "A secret is whsec_ and the base64 of 24 to 64 bytes.");
  }
  return crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
}

function checkTime(timestamp: string, { tolerance = 300, now = new Date() }: VerifyOptions): void {
  if (!/^\d{1,12}$/.test(timestamp)) {
    throw new WebhookVerificationError("invalid-header", "webhook-timestamp is not a number of seconds.");
  }
  const age = Math.floor(now.getTime() / 1000) - Number(timestamp);
  if (age > tolerance) throw new WebhookVerificationError("timestamp-too-old", `The message is ${age} s old.`);
  if (age < -tolerance) throw new WebhookVerificationError("timestamp-too-new", `The time of the message is ${-age} s in the future.`);
}

/** WebCrypto compares in constant time. Signatures of other versions than v1 are ignored. */
async function matches(keys: CryptoKey[], signatures: string, signed: Uint8Array<ArrayBuffer>): Promise<boolean> {
  for (const signature of signatures.split(" ").slice(0, maxSignatures)) {
    const [version, text = ""] = signature.split(",", 2);
    const raw = version === "v1" ? decodeBase64(text) : undefined;
    if (!raw) continue;
    for (const key of keys) {
      if (await crypto.subtle.verify("HMAC", key, raw, signed)) return true;
    }
  }
  return false;
}

/** A server signs with two secrets at most; the limit bounds the work for a forged header. */
const maxSignatures = 10;

function bytesOf(body: VerifyOptions["body"]): Uint8Array {
  if (typeof body === "string") return new TextEncoder().encode(body);
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  return new Uint8Array(body);
}

function decodeBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    return undefined;
  }
}
