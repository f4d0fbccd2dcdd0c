import type { Event as OrderEvent } from "./api/types.gen.js";
import { ConnectionError, type Frame, type Target } from "./connection.js";
import { openEventStream } from "./sse.js";
import type { Token } from "./token.js";
import { openWebSocket, type SocketConstructor } from "./websocket.js";

export type * from "./api/types.gen.js";
export type { Event as OrderEvent } from "./api/types.gen.js";
export { ApiError } from "./errors.js";
export { ConnectionError } from "./connection.js";
export type { Socket, SocketConstructor } from "./websocket.js";
export type { Token } from "./token.js";

/** The type of an event, such as `order.created`. */
export type EventType = OrderEvent["type"];

/**
 * The cursor could not be resumed, because it was too old or the database went back to an earlier
 * state. It may come at any time. Read the state that you need again; the stream continues at `cursor`.
 */
export interface Reset {
  type: "reset";
  cursor: string;
}

export type FollowState = "connecting" | "live" | "waiting" | "closed";

export interface FollowOptions {
  /** The address of the server, such as https://orders.example.com. */
  url: string;
  token: Token;
  /** Resume after this cursor. Without it the stream begins with the next event. */
  after?: string;
  /** Only these types. */
  types?: EventType[];
  /** Only this order. */
  orderId?: string;
  /** Administrators only: the orders of this user. */
  userId?: string;
  /**
   * `sse` sends the token in a header. `websocket` uses a ticket, and does not count against the six
   * connections that a browser opens to a server over HTTP/1.1. Default: `websocket` where the
   * runtime has one, otherwise `sse`.
   */
  transport?: "websocket" | "sse";
  /** Ends the iteration without an error. */
  signal?: AbortSignal;
  /** The number of unread notifications, whenever it changes. */
  onUnread?: (unread: number) => void;
  onState?: (state: FollowState) => void;
  /**
   * The connection ended or failed, and the next attempt follows after `delay` milliseconds. Default:
   * a warning on the console. A browser does not tell why a request failed: the server may be
   * unreachable, or the origin of the page may be missing from its `ALLOWED_ORIGINS`.
   */
  onRetry?: (error: Error, delay: number) => void;
  /** Milliseconds before the first attempt after a failure. It doubles up to `maxDelay`, and a random part of it is waited. */
  minDelay?: number;
  maxDelay?: number;
  /**
   * Milliseconds without data after which a connection is replaced. Default: 45 s for `sse`, where the server
   * sends a comment every 15 s, and 5 minutes for `websocket`, whose pings JavaScript does not see.
   */
  maxSilence?: number;
  /** The constructor of sockets, such as that of the package `ws` for Node.js before 22. */
  webSocket?: SocketConstructor;
  /** Replaces the global `fetch`. */
  fetch?: typeof fetch;
}

/**
 * Follows the events of orders: `for await (const event of follow(options))`.
 *
 * Each event has a cursor. When the connection ends for any reason, the follower reconnects to any
 * node and resumes after the last event, so none is missed and none is repeated. A
 * process that starts again passes `cursor` as `after`; an event whose handler was interrupted comes
 * again then, and `id` is unique.
 *
 * The iteration ends without an error when it is left or aborted. It throws an `ApiError` if the
 * server rejects the request and would reject it again, such as 401 after a new token, and what the
 * token function throws.
 */
export function follow(options: FollowOptions): Follower {
  return new Follower(options);
}

export class Follower implements AsyncIterable<OrderEvent | Reset> {
  /** Behind the last event whose handler has finished; undefined before the stream has begun. */
  cursor: string | undefined;
  private readonly stop = new AbortController();

  constructor(private readonly options: FollowOptions) {
    this.cursor = options.after;
  }

  /** Ends the iteration, like `signal`. */
  close(): void {
    this.stop.abort();
  }

  /** Begins to follow, or continues after `cursor`. */
  async *[Symbol.asyncIterator](): AsyncGenerator<OrderEvent | Reset, void> {
    const { signal: outer } = this.options;
    const signal = this.stop.signal;
    const abort = () => this.stop.abort(outer?.reason);
    outer?.addEventListener("abort", abort, { once: true });
    if (outer?.aborted) abort();
    try {
      yield* this.run(signal);
    } finally {
      outer?.removeEventListener("abort", abort);
      this.options.onState?.("closed");
    }
  }

  private async *run(signal: AbortSignal): AsyncGenerator<OrderEvent | Reset, void> {
    const backoff = new Backoff(this.options);
    let rejected = false;
    while (!signal.aborted) {
      let why: ConnectionError;
      try {
        this.options.onState?.("connecting");
        const frames = this.open(signal, rejected);
        for (let next = await frames.next(); ; next = await frames.next()) {
          if (next.done) {
            why = new ConnectionError(`The connection ended: ${next.value}`);
            break;
          }
          backoff.reset();
          rejected = false;
          let handled = false;
          try {
            yield* this.deliver(next.value);
            handled = true;
          } finally {
            if (!handled) await frames.return("");
          }
          this.cursor = next.value.cursor;
          if (signal.aborted) return void (await frames.return(""));
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof ConnectionError)) throw error;
        why = error;
        rejected = error.details.rejected ?? false;
      }
      this.options.onState?.("waiting");
      await backoff.wait(why, signal);
    }
  }

  private *deliver(frame: Frame): Generator<OrderEvent | Reset, void> {
    switch (frame.type) {
      case "ready":
        this.options.onState?.("live");
        return;
      case "notifications.unread":
        this.options.onUnread?.(frame["unread"] as number);
        return;
      case "reset":
        this.options.onState?.("live");
    }
    yield frame as unknown as OrderEvent | Reset;
  }

  private open(signal: AbortSignal, rejected: boolean): AsyncGenerator<Frame, string> {
    const { url, token, types, orderId, userId } = this.options;
    const make = this.options.webSocket ?? (globalThis as { WebSocket?: SocketConstructor }).WebSocket;
    const transport = this.options.transport ?? (make ? "websocket" : "sse");
    if (transport === "websocket" && !make) throw new TypeError("This runtime has no WebSocket; pass one as webSocket, or use the transport sse.");
    const target: Target = {
      url, token, signal, rejected,
      query: { after: this.cursor, types: types?.join(","), orderId, userId },
      maxSilence: this.options.maxSilence ?? (transport === "sse" ? 45_000 : 300_000),
      fetch: this.options.fetch ?? ((...all) => globalThis.fetch(...all)),
    };
    return transport === "sse" ? openEventStream(target) : openWebSocket(target, make as SocketConstructor);
  }
}

/** Exponential backoff with full jitter: clients that were disconnected together do not reconnect together. */
class Backoff {
  private failures = 0;

  constructor(private readonly options: FollowOptions) {}

  reset(): void {
    this.failures = 0;
  }

  async wait(why: ConnectionError, signal: AbortSignal): Promise<void> {
    const { minDelay = 500, maxDelay = 30_000 } = this.options;
    const { onRetry = (error: Error) => console.warn("orderflow: reconnecting:", error.message) } = this.options;
    const { retryAfter = 0, rejected = false } = why.details;
    const delay = rejected ? 0 : retryAfter + Math.random() * Math.min(maxDelay, minDelay * 2 ** this.failures++);
    onRetry(why, delay);
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, delay);
      signal.addEventListener("abort", done, { once: true });
      if (signal.aborted) done();
    });
  }
}
