// What can be done with an order: one entry for each name in allowedActions, and how it is asked for.
// A name that is not here is one of a later version, and is not offered.

import { randomKey, request } from "./api.js";
import { exponent, money } from "./dom.js";

const status = (to) => (id, fields) => request("PATCH", `/v1/orders/${id}/status`, { body: { status: to, ...fields } });

const post = (path) => (id, body) => request("POST", `/v1/orders/${id}/${path}`, { body, headers: { "Idempotency-Key": randomKey() } });

const reason = { name: "reason", label: "Reason", value: "Tried out", required: true };

// run(id, fields) sends the request; field is what it asks for first.
const actions = {
  ship: { label: "Ship", run: status("SHIPPED"), field: { name: "tracking", label: "Tracking number (optional)", value: "" } },
  complete: { label: "Complete", run: status("COMPLETED") },
  hold: { label: "Hold", run: post("hold"), field: reason },
  release: { label: "Release", run: post("release") },
  reopen: { label: "Retry", run: status("PENDING") },
  refund: {
    label: "Refund", run: (id, { amount }, order) => post("refunds")(id, { amount: minor(amount, order.total.currency), reason: "Tried out" }),
    field: { name: "amount", label: "Amount", required: true, inputmode: "decimal", from: (order) => major(refundable(order)) },
  },
  cancel: { label: "Cancel", run: post("cancel"), danger: true },
  delete: { label: "Delete", run: (id) => request("DELETE", `/v1/orders/${id}`), danger: true, gone: true },
};

// offered returns the actions that the reader may give now, in the order in which they are given.
export function offered(order, admin) {
  const allowed = order.allowedActions ?? [];
  const list = Object.entries(actions).filter(([name]) => allowed.includes(name)).map(([name, action]) => ({ name, ...action }));
  if (admin && order.stalled) list.unshift({ name: "retry", label: `Retry ${order.stalled}`, run: retry });
  return list;
}

// retry attempts the step again that has failed for good.
async function retry(id) {
  const { body } = await request("GET", `/v1/dead-letters?orderId=${id}`);
  for (const letter of body.data) {
    await request("POST", `/v1/dead-letters/${letter.id}/retry`, { headers: { "Idempotency-Key": randomKey() } });
  }
  return request("GET", `/v1/orders/${id}`);
}

const refundable = ({ captured, refunded, refunding }) => ({ ...captured, amount: captured.amount - refunded.amount - refunding.amount });

const major = ({ amount, currency }) => (amount / 10 ** exponent(currency)).toFixed(exponent(currency));

const minor = (text, currency) => ({ amount: Math.round(Number(text.replace(",", ".")) * 10 ** exponent(currency)), currency });

const paid = {
  AUTHORIZED: () => "authorized", CAPTURED: (o) => `${money(o.captured)} captured`, VOIDED: () => "released", DECLINED: () => "declined",
  PARTIALLY_REFUNDED: (o) => `${money(o.refunded)} refunded`, REFUNDED: (o) => `${money(o.refunded)} refunded`, REFUND_FAILED: () => "refund failed",
};

// payment says in words what has happened to the money; empty while nothing has.
export const payment = (order) => (paid[order.paymentStatus] ? `Payment: ${paid[order.paymentStatus](order)}` : "");
