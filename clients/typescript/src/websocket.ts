import { addressOf, ConnectionError, type Frame, request, type Target, Watchdog } from "./connection.js";

/** What is used of a WebSocket. */
export interface Socket {
  onmessage: ((event: { data: any }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: ((event: any) => void) | null;
  close(code?: number, reason?: string): void;
}

export type SocketConstructor = new (url: string) => Socket;

/** The number of frames that wait for a slow consumer. A WebSocket has no backpressure, so the connection ends beyond it, and resumes later. */
const maxWaiting = 1000;

/** Streams the frames of one WebSocket, until it ends and all are consumed. A ticket stands for the token, which must not be in a URL. */
export async function* openWebSocket(target: Target, make: SocketConstructor): AsyncGenerator<Frame, string> {
  const response = await request(target, "a ticket", new URL("/v1/events/tickets", target.url), { method: "POST", signal: target.signal });
  const { ticket } = (await response.json()) as { ticket: string };
  const address = addressOf(target, "/v1/events/ws");
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  address.searchParams.set("ticket", ticket);
  if (target.signal.aborted) throw target.signal.reason;

  const waiting: Frame[] = [];
  let ended: { reason: string; error?: Error } | undefined;
  let wake = () => {};
  const socket = new make(address.toString());
  const end = (reason: string, error?: Error) => {
    ended ??= { reason, error };
    wake();
  };
  const abort = () => end("aborted");
  const watchdog = new Watchdog(target.maxSilence, () => end("", new ConnectionError("The connection was silent for too long")));
  target.signal.addEventListener("abort", abort, { once: true });
  socket.onerror = () => {}; // close follows
  socket.onclose = ({ code, reason }) => end(`${code} ${reason}`.trim());
  socket.onmessage = ({ data }) => {
    if (ended) return;
    watchdog.reset();
    waiting.push(JSON.parse(data));
    if (waiting.length >= maxWaiting) end(`more than ${maxWaiting} events are waiting to be handled`);
    wake();
  };
  try {
    for (;;) {
      const frame = waiting.shift();
      if (frame) {
        yield frame;
      } else if (ended) {
        if (ended.error) throw ended.error;
        return ended.reason;
      } else {
        await new Promise<void>((resolve) => (wake = resolve));
      }
      if (target.signal.aborted) throw target.signal.reason;
    }
  } finally {
    watchdog.stop();
    target.signal.removeEventListener("abort", abort);
    socket.onclose = null;
    socket.onmessage = null;
    socket.close(1000);
  }
}
