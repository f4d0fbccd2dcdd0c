// The list of orders. An event moves an order at once; what events do not carry
// (what its reader may do with it) is read again after.

import { $, announce, dayAndTime, el, money, problem, shortId, timeOfDay } from "./dom.js";
import { randomKey, request } from "./api.js";

const shown = 30;
const stages = 3;
const passed = { PENDING: 1, CONFIRMED: 2 }; // every other status has passed all stages

const cards = new Map(); // id -> card
const stale = new Set(); // ids to read again
let reading = false;

export function clear() {
  cards.clear();
  stale.clear();
  $("orders").replaceChildren();
  $("no-orders").hidden = false;
  problem($("orders-problem"), null);
}

export async function loadOrders() {
  try {
    const { body } = await request("GET", `/v1/orders?limit=${shown}`);
    problem($("orders-problem"), null);
    body.data.forEach(put);
  } catch (error) {
    problem($("orders-problem"), error);
  }
}

// put shows an order as REST gave it, unless we know better already.
export function put(order) {
  let card = cards.get(order.id);
  if (!card) {
    card = newCard(order.id);
    cards.set(order.id, card);
    insert(card);
  }
  if (card.order && card.order.version > order.version) return;
  card.show(order);
}

// apply lets an event happen.
export function apply(event) {
  const known = cards.get(event.subject)?.order;
  if (known && known.version >= event.version) return;
  if (!known && !event.data.order) return; // older than the list

  const order = known ?? event.data.order;
  const status = event.data.status ?? order.status;
  if (known && status !== known.status) announce(`Order ${shortId(order.id)} is ${status}.`);
  put({
    ...order, status, version: event.version, updatedAt: event.time,
    ...(event.data.previousStatus && { reason: event.data.reason, failure: event.data.failure }),
    allowedActions: status === order.status ? order.allowedActions ?? [] : [],
  });
  readAgain(event.subject);
}

// readAgain reads one order after the other, each once for many events.
async function readAgain(id) {
  stale.add(id);
  if (reading) return;
  reading = true;
  await new Promise((done) => setTimeout(done, 100));
  for (const next of stale) {
    stale.delete(next);
    try {
      put((await request("GET", `/v1/orders/${next}`)).body);
      await cards.get(next)?.history.refresh();
    } catch {
      // The next event or a reload puts it right.
    }
  }
  reading = false;
}

// insert keeps the newest first: ids are UUIDv7, their order is time's.
function insert(card) {
  const list = $("orders");
  const after = [...list.children].find((other) => other.dataset.id < card.id);
  list.insertBefore(card.node, after ?? null);
  $("no-orders").hidden = true;
  if (list.children.length > shown) {
    cards.delete(list.lastElementChild.dataset.id);
    list.lastElementChild.remove();
  }
}

function newCard(id) {
  const badge = el("span", { class: "badge" });
  const track = Array.from({ length: stages }, () => el("li"));
  const items = el("p", { class: "items" });
  const sum = el("span", { class: "sum" });
  const when = el("time", { class: "muted" });
  const why = el("p", { class: "why", hidden: true });
  const wrong = el("div", { class: "problem", role: "alert", hidden: true });
  const cancel = el("button", { type: "button", class: "small danger cancel", hidden: true, "aria-label": `Cancel order ${shortId(id)}` }, "Cancel");
  const history = newHistory(id);

  const card = {
    id, order: null, history,
    node: el("li", { class: "order", id: `order-${id}`, tabindex: -1, data: { id } },
      el("div", { class: "top" }, el("h3", { class: "mono" }, `#${shortId(id)}`), badge, sum),
      el("ol", { class: "track", "aria-hidden": "true" }, ...track),
      items, why, wrong,
      el("div", { class: "foot" }, when, cancel), history.node),

    show(order) {
      card.order = order;
      card.node.dataset.status = badge.dataset.status = order.status;
      card.node.dataset.version = order.version;
      badge.textContent = order.status.replace("_", " ");
      track.forEach((step, i) => step.classList.toggle("done", i < (passed[order.status] ?? stages)));
      items.textContent = order.items.map((i) => `${i.quantity} × ${i.name}`).join(", ");
      sum.textContent = money(order.total);
      when.textContent = dayAndTime(order.createdAt);
      when.dateTime = order.createdAt;
      why.textContent = order.failure?.detail ?? order.reason ?? "";
      why.hidden = !why.textContent;
      cancel.hidden = !(order.allowedActions ?? []).includes("cancel");
    },
  };

  cancel.addEventListener("click", async () => {
    cancel.disabled = true;
    try {
      const answer = await request("POST", `/v1/orders/${id}/cancel`, { headers: { "Idempotency-Key": randomKey() } });
      problem(wrong, null);
      put(answer.body);
      announce(`Order ${shortId(id)} is cancelled.`);
    } catch (error) {
      problem(wrong, error);
      readAgain(id);
    } finally {
      cancel.disabled = false;
    }
  });
  return card;
}

function newHistory(id) {
  const list = el("ol", { class: "steps-taken" });
  const node = el("details", { class: "history", ontoggle: () => history.refresh() }, el("summary", {}, "History"), list);
  const history = {
    node,
    async refresh() {
      if (!node.open) return;
      try {
        const { body } = await request("GET", `/v1/orders/${id}/events`);
        list.replaceChildren(...body.data.map((e) => el("li", { data: { id: e.id } },
          el("time", { class: "mono muted", datetime: e.time }, timeOfDay(e.time)),
          el("span", { class: "mono" }, e.type),
          el("span", { class: "muted" }, e.actor.split(":")[0]))));
      } catch (error) {
        list.replaceChildren(el("li", {}, error.message));
      }
    },
  };
  return history;
}
