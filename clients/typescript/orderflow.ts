/**
 * Follows the events of your orders over a WebSocket, and resumes.
 *
 * Every event has a cursor. When the connection ends, for whatever reason, this client
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
  /** The client has stopped and will not come back: the credential is refused, or a handler threw. */
  onError?: (error: Error) => void;
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
   * Milliseconds without any frame after which the connection is renewed, in case it is dead and nobody
   * noticed: pings are answered below JavaScript. Costs little, since nothing is missed.
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

/** Thrown at `onError` when the server will not have this client, whenever it asks. */
export class Refused extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
    this.name = "Refused";
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
      try {
        this.tell("connecting");
        await this.connection(await this.ticket());
      } catch (error) {
        if (error instanceof Refused || error instanceof HandlerError) {
          this.stopped = true;
          this.options.onError?.(error instanceof HandlerError ? (error.cause as Error) : error);
          break;
        }
      }
      if (this.stopped) break;
      this.tell("waiting");
      await this.pause();
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
    });
    if (response.status === 401 || response.status === 403) {
      // A token that has just run out may be renewed; one that cannot be will be refused again.
      if (typeof token === "string" || response.status === 403 || ++this.refusals > 1) {
        throw new Refused(response.status, await response.text());
      }
    }
    if (!response.ok) {
      // 429 and 503 say when to come back; sooner would be in vain.
      this.notBefore = 1000 * (Number(response.headers.get("Retry-After")) || 0);
      throw new Error(`tickets: ${response.status}`);
    }
    this.refusals = 0;
    return ((await response.json()) as { ticket: string }).ticket;
  }
  private refusals = 0;
  private notBefore = 0;

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

  /** One connection, until it ends and everything that came over it is handled. */
  private async connection(ticket: string): Promise<void> {
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
    await new Promise<void>((resolve) => {
      socket.onerror = () => {}; // close follows
      socket.onclose = () => resolve();
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

  /**
   * Waits for a part of the delay that chance decides, after what the server asked for: those who were cut together
   * do not come back together. A handshake that is refused (429 too-many-streams, 503) tells a WebSocket no
   * Retry-After; the delay grows until one is accepted.
   */
  private pause(): Promise<void> {
    const { minDelay = 500, maxDelay = 30_000 } = this.options;
    const delay = this.notBefore + Math.random() * Math.min(maxDelay, minDelay * 2 ** this.failures++);
    this.notBefore = 0;
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
