import { addressOf, ConnectionError, type Frame, request, type Target, Watchdog } from "./connection.js";

/** One message of an event stream. */
export interface Message {
  id: string | undefined;
  event: string;
  data: string;
}

/** Streams the frames of one connection over Server-Sent Events, until it ends. */
export async function* openEventStream(target: Target): AsyncGenerator<Frame, string> {
  const stop = new AbortController();
  const abort = () => stop.abort(target.signal.reason);
  target.signal.addEventListener("abort", abort, { once: true });
  if (target.signal.aborted) abort();
  let silent = false;
  let reading = false;
  const watchdog = new Watchdog(target.maxSilence, () => {
    silent = true;
    stop.abort();
  });
  try {
    const response = await request(target, "the event stream", addressOf(target, "/v1/events/stream"), {
      headers: { Accept: "text/event-stream" },
      cache: "no-store",
      signal: stop.signal,
    });
    if (!response.body || !(response.headers.get("Content-Type") ?? "").startsWith("text/event-stream")) {
      throw new ConnectionError("The response is not an event stream; a proxy may have sent it");
    }
    reading = true;
    for await (const message of parseEventStream(response.body, () => watchdog.reset())) {
      const frame = JSON.parse(message.data);
      if (message.event === "close") return `${frame.code} ${frame.reason}`;
      yield frame;
    }
    return "the server ended the stream";
  } catch (error) {
    if (silent) throw new ConnectionError("The connection was silent for too long", { cause: error });
    if (target.signal.aborted || !reading) throw error;
    throw new ConnectionError(`The connection broke: ${error}`, { cause: error });
  } finally {
    watchdog.stop();
    target.signal.removeEventListener("abort", abort);
    stop.abort();
  }
}

/**
 * Parses an event stream as the HTML standard does (section 9.2.6). A message that is incomplete at
 * the end is discarded. `alive` is called whenever bytes arrive, comments included.
 */
export async function* parseEventStream(body: ReadableStream<Uint8Array>, alive: () => void = () => {}): AsyncGenerator<Message> {
  const reader = body.getReader();
  const decoder = new TextDecoder(); // removes a byte order mark
  const parser = new EventStreamParser();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      alive();
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

class EventStreamParser {
  private rest = "";
  private data: string[] = [];
  private event = "";
  private id: string | undefined;

  *push(text: string): Generator<Message> {
    this.rest += text;
    for (;;) {
      const end = this.rest.search(/[\r\n]/);
      // The line feed of a carriage return may be in the next part.
      if (end < 0 || (this.rest[end] === "\r" && end === this.rest.length - 1)) return;
      const line = this.rest.slice(0, end);
      this.rest = this.rest.slice(this.rest.startsWith("\r\n", end) ? end + 2 : end + 1);
      const message = this.line(line);
      if (message) yield message;
    }
  }

  private line(line: string): Message | undefined {
    if (line === "") return this.dispatch();
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.data.push(value);
    else if (name === "event") this.event = value;
    else if (name === "id" && !value.includes("\0")) this.id = value;
    return undefined;
  }

  private dispatch(): Message | undefined {
    const { data, event, id } = this;
    this.data = [];
    this.event = "";
    return data.length > 0 ? { id, event: event || "message", data: data.join("\n") } : undefined;
  }
}
