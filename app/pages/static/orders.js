// The list of orders. An event moves an order at once; what events do not carry
// (what its reader may do with it) is read again after.

import { $, announce, dayAndTime, el, money, problem, shortId, timeOfDay } from "./dom.js";
import { offered, payment } from "./actions.js";
import { request } from "./api.js";

const shown = 30;
const stages = 3;
const passed = { PENDING: 1, CONFIRMED: 2 }; // every other status has passed all stages

const cards = new Map(); // id -> card
const stale = new Set(); // ids to read again
let reading = false;
let admin = false;
let changed = () => {};

// setUp tells onChange of every order that is shown.
export function setUp(onChange) { changed = onChange; }

// setRole says who reads: administrators see the orders of all, and may do more.
export function setRole(role) { admin = role === "admin"; }

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
  changed(order);
}

function remove(id) {
  cards.get(id)?.node.remove();
  cards.delete(id);
  $("no-orders").hidden = cards.size > 0;
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
    } catch (error) {
      if (error.status === 404) remove(next); // otherwise the next event or a reload puts it right
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
  const paid = el("p", { class: "paid muted" });
  const when = el("time", { class: "muted" });
  const why = el("p", { class: "why", hidden: true });
  const wrong = el("div", { class: "problem", role: "alert", hidden: true });
  const acts = newActs(id, wrong);
  const history = newHistory(id);

  const card = {
    id, order: null, history,
    node: el("li", { class: "order", id: `order-${id}`, tabindex: -1, data: { id } },
      el("div", { class: "top" }, el("h3", { class: "mono" }, `#${shortId(id)}`), badge, sum),
      el("ol", { class: "track", "aria-hidden": "true" }, ...track),
      items, paid, why, wrong,
      el("div", { class: "foot" }, when, acts.node), history.node),

    show(order) {
      card.order = order;
      card.node.dataset.status = badge.dataset.status = order.status;
      card.node.dataset.version = order.version;
      card.node.dataset.payment = order.paymentStatus ?? "";
      badge.textContent = order.status.replace("_", " ");
      track.forEach((step, i) => step.classList.toggle("done", i < (passed[order.status] ?? stages)));
      items.textContent = order.items.map((i) => `${i.quantity} × ${i.name}`).join(", ");
      sum.textContent = money(order.total);
      paid.textContent = payment(order);
      when.textContent = dayAndTime(order.createdAt);
      when.dateTime = order.createdAt;
      why.textContent = order.failure?.detail ?? order.reason ?? "";
      why.hidden = !why.textContent;
      acts.show(order);
    },
  };
  return card;
}

// newActs are the buttons of an order. They are replaced only when others are allowed, so that the focus
// stays where it is.
function newActs(id, wrong) {
  const node = el("div", { class: "acts", role: "group", "aria-label": `Actions on order ${shortId(id)}` });
  let shown = "";
  let busy = false;

  const give = async (action, fields) => {
    if (busy) return;
    busy = true;
    try {
      const answer = await action.run(id, fields, cards.get(id).order);
      problem(wrong, null);
      announce(`${action.label}: done for order ${shortId(id)}.`);
      if (action.gone) remove(id);
      else if (answer.body?.allowedActions) put(answer.body);
    } catch (error) {
      problem(wrong, error);
    } finally {
      busy = false;
      readAgain(id);
    }
  };
  const button = (action) => el("button", {
    type: "button", class: `small ${action.danger ? "danger " : ""}${action.name}`, "aria-label": `${action.label} order ${shortId(id)}`,
    onclick: () => (action.field ? ask(action) : give(action)),
  }, action.label);
  const ask = (action) => {
    shown = "asking";
    const { field } = action;
    const input = el("input", { name: field.name, required: field.required, inputmode: field.inputmode, autocomplete: "off", maxlength: 200 });
    input.value = field.from ? field.from(cards.get(id).order) : field.value;
    const back = () => { shown = ""; list(cards.get(id).order); node.querySelector(`.${action.name}`)?.focus(); };
    node.replaceChildren(el("form", {
      class: "ask", onsubmit: (e) => {
        e.preventDefault();
        const value = input.value.trim();
        back();
        give(action, value ? { [field.name]: value } : {});
      },
      onkeydown: (e) => { if (e.key === "Escape") back(); },
    },
    el("label", {}, el("span", { class: "muted" }, field.label), input),
    el("button", { type: "submit", class: "small primary" }, action.label),
    el("button", { type: "button", class: "small", onclick: back }, "Back")));
    input.focus();
  };
  const list = (order) => {
    const actions = offered(order, admin);
    const names = actions.map((a) => a.label).join();
    if (shown === "asking" || shown === names) return;
    shown = names;
    node.replaceChildren(...actions.map(button));
  };
  return { node, show: list };
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
