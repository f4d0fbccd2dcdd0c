// Products, the basket, and placing an order.

import { $, announce, el, money, problem, shortId } from "./dom.js";
import { randomKey, request } from "./api.js";

const rows = new Map(); // sku -> row
let last = null; // the request that "send again" repeats
let placed = () => {};
let reloading = 0;

// setUp wires the form; onPlaced gets the order of every 201.
export function setUp(onPlaced) {
  placed = onPlaced;
  $("basket").addEventListener("submit", (e) => { e.preventDefault(); place(); });
  $("again").addEventListener("click", again);
}

export function clear() {
  rows.clear();
  last = null;
  $("products").replaceChildren();
  $("result").hidden = $("again").hidden = true;
  total();
}

export async function loadProducts() {
  try {
    const { body } = await request("GET", "/v1/products?limit=100");
    problem($("products-problem"), null);
    show(body.data.filter((p) => p.active));
  } catch (error) {
    problem($("products-problem"), error);
  }
}

// productsChanged reloads soon, once for many events.
export function productsChanged() {
  reloading ||= setTimeout(() => { reloading = 0; loadProducts(); }, 400);
}

// show changes rows in place, so that who is typing a quantity can go on.
function show(products) {
  const seen = new Set(products.map((p) => p.sku));
  for (const [sku, row] of rows) {
    if (!seen.has(sku)) {
      row.node.remove();
      rows.delete(sku);
    }
  }
  for (const product of products) {
    let row = rows.get(product.sku);
    if (!row) {
      row = newRow(product);
      rows.set(product.sku, row);
      $("products").append(row.node);
    }
    row.show(product);
  }
  total();
}

function newRow({ sku, name }) {
  const price = el("span", { class: "price" });
  const stock = el("span", { class: "stock" });
  const count = el("input", {
    type: "number", min: 0, max: 1_000_000, step: 1, value: 0, inputmode: "numeric", "aria-label": `Quantity of ${name}`, oninput: total,
  });
  const step = (by, sign, word) => el("button", {
    type: "button", class: by > 0 ? "plus" : "minus", "aria-label": `${word} of ${name}`,
    onclick: () => { row.set(row.quantity() + by); },
  }, sign);
  const node = el("li", { class: "product", data: { sku } },
    el("div", { class: "what" }, el("span", { class: "name" }, name), el("span", { class: "sku mono" }, sku)),
    el("div", { class: "facts" }, price, stock),
    el("div", { class: "stepper" }, step(-1, "−", "One less"), count, step(1, "+", "One more")));

  const row = {
    node,
    product: null,
    quantity: () => Math.min(1_000_000, Math.max(0, Math.trunc(Number(count.value)) || 0)),
    set(n) { count.value = Math.min(1_000_000, Math.max(0, n)); total(); },
    show(product) {
      row.product = product;
      price.textContent = money(product.unitPrice);
      const left = product.available;
      stock.textContent = left === null ? "unlimited" : left > 0 ? `${left} left` : "sold out";
      stock.dataset.level = left === null || left > 5 ? "fine" : left > 0 ? "low" : "none";
    },
  };
  return row;
}

function basket() {
  return [...rows.values()].filter((r) => r.quantity() > 0);
}

function total() {
  const sums = new Map();
  for (const row of rows.values()) row.node.classList.toggle("chosen", row.quantity() > 0);
  const chosen = basket();
  for (const { product, quantity } of chosen) {
    const { amount, currency } = product.unitPrice;
    sums.set(currency, (sums.get(currency) ?? 0) + amount * quantity());
  }
  $("total").textContent = [...sums].map(([currency, amount]) => money({ amount, currency })).join(" + ") || "–";
  $("place").disabled = chosen.length === 0;
}

async function place() {
  const chosen = basket();
  if (chosen.length === 0) return;
  last = {
    key: randomKey(),
    body: {
      items: chosen.map((row) => ({ sku: row.product.sku, quantity: row.quantity() })),
      onShortage: new FormData($("basket")).get("onShortage"),
      ...($("method").value && { paymentMethod: $("method").value }),
    },
  };
  if (await send()) {
    for (const row of chosen) row.set(0);
    productsChanged();
  }
}

const again = () => send();

async function send() {
  $("place").disabled = $("again").disabled = true;
  try {
    const answer = await request("POST", "/v1/orders", { body: last.body, headers: { "Idempotency-Key": last.key } });
    accepted(answer);
    placed(answer.body);
    return true;
  } catch (error) {
    refused(error);
    return false;
  } finally {
    $("again").hidden = $("again").disabled = false;
    total();
  }
}

function accepted({ status, headers, body, took }) {
  const replayed = headers.get("Idempotency-Replayed") === "true";
  report({ status, replayed, order: body.id }, replayed ? "replayed" : "good",
    el("p", {}, el("strong", {}, replayed ? "Replayed: still one order" : "Order accepted"), ` #${shortId(body.id)}`),
    el("p", { class: "now" }),
    facts([
      ["Status", `${status} ${status === 201 ? "Created" : ""} in ${took} ms`],
      ["Idempotency-Key", last.key],
      ...(replayed ? [["Idempotency-Replayed", "true"]] : []),
    ]));
  follow(body);
  announce(replayed ? "The answer was replayed; nothing new was created." : "Order accepted.");
}

const tones = { FAILED: "bad", CANCELLED: "ended", ON_HOLD: "held" };

// follow shows what has become of the order that was placed last.
export function follow({ id, status, failure, reason }) {
  const box = $("result");
  if (box.hidden || box.dataset.order !== id) return;
  const tone = tones[status] ?? (box.dataset.replayed === "true" ? "replayed" : "good");
  const why = failure?.detail ?? reason;
  box.className = `result ${tone}`;
  box.dataset.now = status;
  box.querySelector(".now").textContent = `It is ${status.replace("_", " ")}${why ? `: ${why}` : "."}`;
}

function refused(error) {
  const text = el("div");
  problem(text, error);
  const hint = error.status === 0 ? el("p", {}, "Whether it was placed is unknown. Send the same request again: it cannot be placed twice.") : null;
  report({ status: error.status, replayed: false, order: "" }, "bad",
    el("p", {}, el("strong", {}, error.status ? `Refused with ${error.status}` : "No answer"), error.code ? ` ${error.code}` : ""), text, hint);
}

function report(data, tone, ...children) {
  const box = $("result");
  box.className = `result ${tone}`;
  Object.assign(box.dataset, data);
  box.replaceChildren(...children.filter(Boolean));
  box.hidden = false;
}

const facts = (pairs) => el("dl", {}, ...pairs.flatMap(([name, value]) =>
  [el("dt", {}, name), el("dd", { class: "mono" }, value)]));
