// The pane of events and of the line they come through.

import { $, announce, duration, el, shortId, timeOfDay } from "./dom.js";
import { serverNow } from "./clock.js";

const kept = 200;

let missed = 0;
let cutAt = 0;
let mark = null; // the row that says what the last resumption brought

export function clear() {
  $("log").replaceChildren();
  $("no-events").hidden = false;
  mark = null;
  cutAt = 0;
  count(0);
}

export function add(event, replayed) {
  const late = Math.max(0, serverNow() - Date.parse(event.time));
  if (replayed) {
    count(missed + 1);
    tell();
  }
  push(el("li", { class: replayed ? "event replayed" : "event", data: { id: event.id, order: event.subject, type: event.type } },
    el("time", { class: "mono muted", datetime: event.time }, timeOfDay(event.time)),
    el("span", { class: "type mono", data: { kind: kindOf(event) } }, event.type),
    el("a", { class: "mono", href: `#order-${event.subject}` }, `#${shortId(event.subject)}`),
    el("span", { class: "late", title: replayed ? "Replayed this long after it happened" : "From the event to this page" },
      replayed ? el("span", { class: "only-read" }, "replayed, ") : null, replayed ? `${duration(late)} late` : duration(late))));
}

export function note(text) {
  const row = el("li", { class: "note" }, text);
  push(row);
  return row;
}

function push(row) {
  const list = $("log");
  list.prepend(row);
  while (list.children.length > kept) list.lastElementChild.remove();
  $("no-events").hidden = true;
}

const kindOf = ({ type }) =>
  type.startsWith("stock.") || type.startsWith("payment.") ? "side"
    : type === "order.failed" || type === "order.cancelled" ? "bad"
      : type === "order.held" || type === "order.stalled" ? "held" : "step";

function count(n) {
  missed = n;
  $("missed").textContent = n;
  $("missed").dataset.count = n;
}

const words = {
  off: "Off", connecting: "Connecting", live: "Live", cut: "Cut", waiting: "Reconnecting", refused: "Refused",
};

// line shows the state of the connection.
export function line(state, { failures, resumed, code }) {
  $("state").dataset.state = state;
  $("state-text").textContent = state === "waiting" && failures > 1 ? `Reconnecting, try ${failures}` : words[state];
  $("cut").disabled = !["live", "connecting", "waiting"].includes(state);
  $("resume").disabled = !["cut", "waiting", "refused"].includes(state);
  if (state === "cut" || state === "waiting") lost(state, code);
  if (state === "refused") note("The server refused the connection.");
  if (state === "live" && resumed) back();
}

function lost(state, code) {
  if (cutAt && state === "waiting") return; // one more try
  if (!cutAt) count(0);
  cutAt ||= Date.now();
  note(state === "cut" ? "You cut the connection." : code === 1001 ? "The server is going away." : "The connection was lost.");
  announce(words[state]);
}

function back() {
  const away = duration(Date.now() - cutAt);
  cutAt = 0;
  mark = { row: note(""), away };
  tell();
  announce("Live again.");
}

// tooLate says that the server could not replay.
export function tooLate() {
  if (!mark) return;
  mark.row.dataset.why = "reset";
  mark.row.textContent = `Resumed after ${mark.away}: that was too long to replay, so the present state was read instead.`;
  mark = null;
}

// tell says how many came back; the number grows while they arrive.
function tell() {
  if (!mark) return;
  const events = missed === 0 ? "nothing was missed" : missed === 1 ? "1 event was missed and replayed" : `${missed} events were missed and replayed`;
  mark.row.textContent = `Resumed after ${mark.away}: ${events}.`;
}
