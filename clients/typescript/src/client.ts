import { createClient, createConfig, type Client } from "./api/client/index.js";
import { ApiError } from "./errors.js";
import { type Token, tokenOf } from "./token.js";

export interface ClientOptions {
  /** The address of the server, such as https://orders.example.com. */
  url: string;
  /** Without a token only the operations that are open to everybody succeed. */
  token?: Token;
  /** Replaces the global `fetch`. */
  fetch?: typeof fetch;
}

/**
 * Returns a client for the operations of the API: `placeOrder({ client, body })`. They throw an
 * `ApiError` for an error status, and a `TypeError` if the server cannot be reached.
 *
 * If the server rejects a token with 401, a token function is asked for another one, once per
 * request. Requests are not repeated otherwise; repeat them with an `Idempotency-Key`.
 */
export function createOrderflowClient(options: ClientOptions): Client {
  const client = createClient(
    createConfig({
      baseUrl: options.url.replace(/\/+$/, ""),
      throwOnError: true,
      ...(options.token !== undefined && { auth: () => tokenOf(options.token as Token, false) }),
      fetch: withRenewal(options),
    }),
  );
  client.interceptors.error.use((error, response) => (response && !response.ok ? new ApiError(response, error) : error));
  return client;
}

/** Repeats a request that got a 401 with a new token. */
function withRenewal({ token, fetch: send = (...all) => globalThis.fetch(...all) }: ClientOptions): typeof fetch {
  if (typeof token !== "function") return send;
  return async (input, init) => {
    const request = new Request(input, init);
    const again = request.clone();
    const response = await send(request);
    if (response.status !== 401 || !request.headers.has("Authorization")) return response;
    await response.body?.cancel();
    again.headers.set("Authorization", `Bearer ${await tokenOf(token, true)}`);
    return send(again);
  };
}
