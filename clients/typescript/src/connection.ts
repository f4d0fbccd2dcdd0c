import { ApiError } from "./errors.js";
import { type Token, tokenOf } from "./token.js";

/** What a connection needs. */
export interface Target {
  url: string;
  token: Token;
  query: Record<string, string | undefined>;
  signal: AbortSignal;
  /** Milliseconds without a sign of life after which the connection counts as dead. */
  maxSilence: number;
  fetch: typeof fetch;
  /** True if the previous token was rejected. */
  rejected: boolean;
}

/** A frame of the stream; `event` of Server-Sent Events is the type of a control frame. */
export interface Frame {
  type: string;
  cursor: string;
  [member: string]: unknown;
}

/** A failure that may pass. */
export class ConnectionError extends Error {
  constructor(
    message: string,
    readonly details: { retryAfter?: number; rejected?: boolean; cause?: unknown } = {},
  ) {
    super(message, { cause: details.cause });
    this.name = "ConnectionError";
  }
}

export function addressOf(target: Target, path: string): URL {
  const address = new URL(path, target.url);
  for (const [name, value] of Object.entries(target.query)) {
    if (value) address.searchParams.set(name, value);
  }
  return address;
}

/**
 * Sends a request with the token. It throws a `ConnectionError` for a failure that may pass, and an
 * `ApiError` for one that would be repeated.
 */
export async function request(target: Target, what: string, address: URL, init: RequestInit): Promise<Response> {
  const bearer = await tokenOf(target.token, target.rejected);
  let response: Response;
  try {
    response = await target.fetch(address, { ...init, headers: { ...init.headers, Authorization: `Bearer ${bearer}` } });
  } catch (cause) {
    // A browser does not say why a request failed.
    const origin = (globalThis as { location?: { origin?: string } }).location?.origin;
    const hint = origin ? `; unless the server is unreachable, ${origin} may be missing from its ALLOWED_ORIGINS` : "";
    throw new ConnectionError(`The request for ${what} failed${hint}: ${cause}`, { cause });
  }
  if (response.ok) return response;
  const error = await ApiError.from(response);
  const rejected = error.status === 401 && typeof target.token === "function" && !target.rejected;
  if (!rejected && !error.temporary) throw error;
  throw new ConnectionError(`The request for ${what} got ${error.status} ${error.code ?? ""}`.trim(), {
    retryAfter: error.retryAfter,
    rejected,
    cause: error,
  });
}

/** Calls back unless it is reset in time. */
export class Watchdog {
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly delay: number,
    private readonly late: () => void,
  ) {
    this.reset();
  }

  reset(): void {
    this.stop();
    this.timer = setTimeout(this.late, this.delay);
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}
