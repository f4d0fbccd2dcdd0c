/**
 * Follows the events of your orders over a WebSocket, and resumes.
 *
 * Every event has a cursor. When the connection ends, for any reason, this client
 * comes back behind the last event that your handler has finished with, on any node: none is left out.
 * An event whose handler was interrupted comes again, so handlers should not mind a repetition;
 * `id` is unique.
 *
 * It needs `fetch` and `WebSocket`, which browsers, Deno, Bun and Node from 22 on have. On an older
 * Node pass `webSocket: (await import("ws")).WebSocket`.
 */

/** One change of one order: a CloudEvents 1.0 document. `/schemas/{type}` describes each type. */
export interface OrderEvent {
  specversion: "1.0";
  /** Unique: the order's id and its version after the event. */
  id: string;
  source: string;
  /** order.created, payment.captured, and so on. Pass over those that you do not know. */
  type: string;
  /** The order's id. */
  subject: string;
  /** RFC 3339, UTC. */
  time: string;
  datacontenttype: string;
  data: { orderId: string; status: string; [member: string]: unknown };
  /** The place behind this event. Keep it to resume in another process. */
  cursor: string;
  /** The order's version after the event: an order's events count from 1 without a hole. */
  version: number;
  actor: string;
  userid: string;
}

export type State = "connecting" | "live" | "waiting" | "closed";

export interface Options {
  /** Where the API is, such as https://orders.example.com. */
  url: string;
  /** An access token or API key, or what gives a fresh one; asked before every connection. */
  token: string | (() => string | Promise<string>);
  /** Handles one event after the other. When it throws, the client stops and `onError` is told. */
  onEvent: (event: OrderEvent) => void | Promise<void>;
  /**
   * The cursor was too old, or the database went back to an earlier state, which may happen at any
   * time: read afresh what you need. Events go on from here by themselves.
   */
  onReset?: (cursor: string) => void | Promise<void>;
  /** How much is unread in your inbox, whenever it changes. */
  onUnread?: (unread: number) => void;
  onState?: (state: State) => void;
  /**
   * The client has stopped and will not come back: the server refuses the request (`Refused`), or a handler threw.
   * Without it the error is written to the console.
   */
  onError?: (error: Error) => void;
  /**
   * The connection ended or could not be made, and the client tries again after `delay` milliseconds. Without it the
   * error is written to the console as a warning. A browser does not say why a request failed: the server may be away,
   * or the page's origin may be missing from its `ALLOWED_ORIGINS`.
   */
  onRetry?: (error: Error, delay: number) => void;
  /** Resume behind this cursor; without it the stream begins now. */
  after?: string;
  /** Only these types. */
  types?: string[];
  /** Only this order. */
  orderId?: string;
  /** Administrators only: whose orders. */
  userId?: string;
  /** Milliseconds before the first new try; it doubles up to `maxDelay`, and chance decides how much of it is waited. */
  minDelay?: number;
  maxDelay?: number;
  /**
   * Milliseconds without any frame after which the connection is renewed, because it may be dead:
   * JavaScript does not see pings. A renewal costs little and misses no event.
   */
  maxSilence?: number;
  webSocket?: new (url: string) => Socket;
}

/** What is used of a WebSocket. */
export interface Socket {
  onmessage: ((event: { data: any }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: ((event: any) => void) | null;
  close(code?: number, reason?: string): void;
}

/** Passed to `onError` when the server refuses the request and would refuse it again. */
export class Refused extends Error {
  /** The problem's code, such as `token-expired`, when the response has one. */
  readonly code?: string;

  constructor(readonly status: number, body: string) {
    super(body);
    this.name = "Refused";
    try {
      this.code = JSON.parse(body).code;
    } catch {
      // Not a problem document: a proxy answered.
    }
  }
}

/** A failure that may pass. */
class Failure extends Error {
  constructor(message: string, readonly retryAfter = 0, options?: ErrorOptions) {
    super(message, options);
  }
}

/** Begins to follow at once. */
export function follow(options: Options): Follower {
  return new Follower(options);
}

export class Follower {
  /** Behind the last event whose handler has finished; undefined before the first frame. */
  cursor: string | undefined;

  private stopped = false;
  private failures = 0;
  private socket: Socket | undefined;
  private wake: (() => void) | undefined;
  private readonly done: Promise<void>;

  constructor(private readonly options: Options) {
    this.cursor = options.after;
    this.done = this.run();
  }

  /** Ends the connection, and resolves when no handler runs any more. */
  async close(): Promise<void> {
    this.stopped = true;
    this.wake?.();
    this.socket?.close(1000);
    await this.done;
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      let why: Error;
      try {
        this.tell("connecting");
        why = await this.connection(await this.ticket());
      } catch (error) {
        if (error instanceof Refused || error instanceof HandlerError) {
          this.stopped = true;
          const { onError = (error: Error) => console.error("orderflow: stopped:", error) } = this.options;
          onError(error instanceof HandlerError ? (error.cause as Error) : error);
          break;
        }
        why = error as Error;
      }
      if (this.stopped) break;
      this.tell("waiting");
      await this.pause(why);
    }
    this.tell("closed");
  }

  /** A ticket stands for the credential, which must not be in a URL. */
  private async ticket(): Promise<string> {
    const { token, url } = this.options;
    const bearer = typeof token === "string" ? token : await token();
    const response = await fetch(new URL("/v1/events/tickets", url), {
      method: "POST",
      headers: { Authorization: `Bearer ${bearer}` },
    }).catch((cause) => {
      const origin = (globalThis as any).location?.origin;
      const hint = origin ? `; unless the server is away, ${origin} may be missing from its ALLOWED_ORIGINS` : "";
      throw new Failure(`The request for a ticket failed${hint}: ${cause}`, 0, { cause });
    });
    // A token that has just expired may be renewed; one that cannot be will be refused again.
    const renewable = response.status === 401 && typeof token !== "string" && ++this.refusals === 1;
    const passing = renewable || response.status >= 500 || [408, 425, 429].includes(response.status);
    if (!response.ok && !passing) throw new Refused(response.status, await response.text());
    if (!response.ok) {
      const after = Number(response.headers.get("Retry-After")) || 0;
      throw new Failure(`The request for a ticket was answered ${response.status}: ${await response.text()}`, after * 1000);
    }
    this.refusals = 0;
    return ((await response.json()) as { ticket: string }).ticket;
  }
  private refusals = 0;

  private address(ticket: string): string {
    const { url, types, orderId, userId } = this.options;
    const address = new URL("/v1/events/ws", url);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const query = { ticket, after: this.cursor, types: types?.join(","), orderId, userId };
    for (const [name, value] of Object.entries(query)) {
      if (value) address.searchParams.set(name, value);
    }
    return address.toString();
  }

  /** One connection, until it ends and everything that came over it is handled. Resolves with the reason of the end. */
  private async connection(ticket: string): Promise<Error> {
    const make = this.options.webSocket ?? (globalThis as any).WebSocket;
    if (!make) throw new HandlerError(new Error("There is no WebSocket here; pass one as webSocket."));
    const socket: Socket = new make(this.address(ticket));
    this.socket = socket;
    let handled: Promise<void> = Promise.resolve();
    let broken: unknown;
    let silence: ReturnType<typeof setTimeout> | undefined;
    const listen = () => {
      clearTimeout(silence);
      silence = setTimeout(() => socket.close(4000, "silence"), this.options.maxSilence ?? 300_000);
    };

    listen();
    if (this.stopped) socket.close(1000);
    const end = await new Promise<{ code: number; reason: string }>((resolve) => {
      socket.onerror = () => {}; // close follows
      socket.onclose = resolve;
      socket.onmessage = (message) => {
        listen();
        handled = handled.then(async () => {
          if (broken || this.stopped) return;
          try {
            await this.handle(JSON.parse(message.data));
          } catch (error) {
            broken = error;
            socket.close(1000);
          }
        });
      };
    });
    clearTimeout(silence);
    this.socket = undefined;
    await handled;
    if (broken) throw new HandlerError(broken);
    return new Failure(`The connection ended: ${end.code} ${end.reason}`.trim());
  }

  private async handle(frame: any): Promise<void> {
    switch (frame.type) {
      case "ready":
        this.tell("live");
        break;
      case "reset":
        this.tell("live");
        await this.options.onReset?.(frame.cursor);
        break;
      case "notifications.unread":
        this.options.onUnread?.(frame.unread);
        break;
      default:
        await this.options.onEvent(frame as OrderEvent);
    }
    this.failures = 0;
    this.cursor = frame.cursor;
  }

  /** Waits for a part of the delay that chance decides: those who were cut together do not come back together. */
  private pause(why: Error): Promise<void> {
    const { minDelay = 500, maxDelay = 30_000 } = this.options;
    const { onRetry = (error: Error) => console.warn("orderflow: trying again:", error.message) } = this.options;
    const random = Math.random() * Math.min(maxDelay, minDelay * 2 ** this.failures++);
    const delay = random + (why instanceof Failure ? why.retryAfter : 0);
    onRetry(why, delay);
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, delay);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  private tell(state: State): void {
    this.options.onState?.(state);
  }
}

class HandlerError extends Error {
  constructor(cause: unknown) {
    super("a handler threw", { cause });
  }
}
