// The event socket: one connection, kept up with growing pauses, resumed where
// it ended. What was missed arrives first, in order, once.

import { serverNow } from "./clock.js";

const firstPause = 500;
const longestPause = 30_000;
const steady = 5_000; // a connection that lived this long was a good one
const patience = 10_000; // for the first frame

// States: off, connecting, live, waiting, cut, refused.
export class Stream {
  #ticket; #on;
  #state = "off";
  #socket = null;
  #timer = 0;
  #attempt = 0; // whatever belongs to an earlier attempt is ignored
  #failures = 0;
  #cursor = null;
  #resumedAt = 0; // server time of the last resumption
  #liveSince = 0;

  // ticket() gives a ticket; on has event(message, replayed), reset(),
  // state(name, {failures, resumed, code}) and ended().
  constructor(ticket, on) {
    this.#ticket = ticket;
    this.#on = on;
    addEventListener("online", () => { if (this.#state === "waiting") this.#connect(); });
  }

  start() {
    this.#cursor = null;
    this.#resumedAt = 0;
    this.#failures = 0;
    this.#connect();
  }

  stop() {
    this.#drop();
    this.#show("off");
  }

  cut() {
    this.#drop();
    this.#show("cut");
  }

  resume() {
    this.#failures = 0;
    this.#connect();
  }

  #drop() {
    this.#attempt++;
    clearTimeout(this.#timer);
    this.#socket?.close();
    this.#socket = null;
  }

  async #connect() {
    this.#drop();
    const attempt = this.#attempt;
    const current = () => attempt === this.#attempt;
    this.#show("connecting");

    let ticket;
    try {
      ticket = await this.#ticket();
    } catch {
      if (current()) this.#retry();
      return;
    }
    if (!current()) return;

    const socket = this.#socket = new WebSocket(address(ticket, this.#cursor));
    this.#timer = setTimeout(() => { this.#drop(); this.#retry(); }, patience);
    socket.onmessage = (m) => { if (current()) this.#frame(JSON.parse(m.data)); };
    socket.onclose = (e) => { if (current()) this.#closed(e.code); };
  }

  #frame(frame) {
    switch (frame.type) {
      case "ready":
        this.#ready(frame);
        break;
      case "reset": // instead of ready: our cursor is too old
        this.#cursor = frame.cursor;
        this.#ready(frame);
        this.#on.reset();
        break;
      default:
        if (frame.subject) this.#on.event(frame, Date.parse(frame.time) <= this.#resumedAt);
        if (frame.cursor) this.#cursor = frame.cursor;
    }
  }

  // A cursor that we have is kept: what follows it may still be on its way when
  // this connection ends as well.
  #ready(frame) {
    clearTimeout(this.#timer);
    const resumed = this.#cursor !== null;
    if (resumed) this.#resumedAt = serverNow();
    this.#cursor ??= frame.cursor;
    this.#liveSince = Date.now();
    this.#show("live", { resumed });
  }

  #closed(code) {
    clearTimeout(this.#timer);
    if (this.#state === "live" && Date.now() - this.#liveSince > steady) this.#failures = 0;
    switch (code) {
      case 4401: // the session is over
        this.stop();
        this.#on.ended();
        break;
      case 1008: // we broke a rule; trying again would break it again
        this.#show("refused", { code });
        break;
      default: // 1001 the node goes away, 4408 too slow, 1006 the line is dead
        this.#retry(code);
    }
  }

  #retry(code) {
    const pause = Math.min(longestPause, firstPause * 2 ** this.#failures) * (0.5 + Math.random() / 2);
    this.#failures++;
    this.#show("waiting", { failures: this.#failures, code });
    this.#timer = setTimeout(() => this.#connect(), pause);
  }

  #show(state, detail = {}) {
    this.#state = state;
    this.#on.state(state, { failures: this.#failures, ...detail });
  }
}

function address(ticket, cursor) {
  const url = new URL("/v1/events/ws", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.searchParams.set("ticket", ticket);
  if (cursor) url.searchParams.set("after", cursor);
  return url;
}
