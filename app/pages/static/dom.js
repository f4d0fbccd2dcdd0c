// Building the page. Data goes in as text only, never as markup; the page's
// policy makes the browser refuse anything else.

export const $ = (id) => document.getElementById(id);

// el("button", {class: "small", onclick: f, data: {id: 7}}, "Text", child)
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(node.dataset, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((c) => c !== null && c !== undefined));
  return node;
}

// Money is whole minor units; how many make a unit is the currency's business.
export function money({ amount, currency }) {
  const format = new Intl.NumberFormat(undefined, { style: "currency", currency });
  return format.format(amount / 10 ** format.resolvedOptions().maximumFractionDigits);
}

// exponent is how many digits a currency has after the point.
export const exponent = (currency) =>
  new Intl.NumberFormat(undefined, { style: "currency", currency }).resolvedOptions().maximumFractionDigits;

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23",
});
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export const timeOfDay = (iso) => clock.format(new Date(iso));
export const dayAndTime = (iso) => day.format(new Date(iso));

export function duration(ms) {
  if (ms < 1) return "<1 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.round(ms / 60_000)} min`;
}

// The end of an id tells orders apart; its beginning is the time.
export const shortId = (id) => id.slice(-8);

export function announce(text) {
  $("announce").textContent = text;
}

// problem shows an error where it belongs, or clears it with null.
export function problem(box, error) {
  box.hidden = !error;
  box.replaceChildren();
  if (!error) return;
  const faults = error.errors ?? [];
  box.append(el("p", {}, faults.length > 0 ? "Please correct:" : error.message));
  if (faults.length > 0) box.append(el("ul", {}, ...faults.map((f) => el("li", {}, inWords(f)))));
}

const names = {
  email: "E-mail", password: "Password", name: "Name", code: "Code", sku: "Product", quantity: "Quantity", items: "Products",
  paymentMethod: "Payment method", tracking: "Tracking number", reason: "Reason", amount: "Amount", status: "Status",
};

// inWords says where a fault is. Its pointer is a path into the body, which the reader has not written.
function inWords({ pointer = "", message }) {
  const parts = pointer.split("/").filter((part) => part && part !== "query");
  const field = parts.findLast((part) => names[part]);
  const row = parts.find((part) => /^\d+$/.test(part));
  const where = [field && names[field], row && `of item ${Number(row) + 1}`].filter(Boolean).join(" ");
  return where ? `${where}: ${message}` : message;
}
