// The messages that the server would have sent, in development. Elsewhere there is no /try/mail, and
// the panel stays hidden.

import { request } from "./api.js";
import { $, dayAndTime, el, problem } from "./dom.js";

const every = 2000;

let shown = "";
let confirmed = () => {};

// setUp begins to look; onConfirmed is called when an address was confirmed.
export function setUp(onConfirmed) {
  confirmed = onConfirmed;
  look();
}

async function look() {
  try {
    if (!document.hidden) show((await request("GET", "/try/mail")).body.data);
  } catch (error) {
    if (error.status === 404) return; // not in development
  }
  setTimeout(look, every);
}

function show(messages) {
  const now = JSON.stringify(messages);
  if (now === shown) return; // so that nothing moves under the reader
  shown = now;
  $("mail").hidden = false;
  $("no-mail").hidden = messages.length > 0;
  $("mails").replaceChildren(...messages.map(row));
}

function row({ at, to, subject, text }) {
  const token = /[#=]([\w-]{43})$|^([\w-]{43})$/m.exec(text);
  const confirms = subject.startsWith("Confirm") && token;
  return el("li", { class: "mail" },
    el("div", { class: "mail-head" }, el("strong", {}, subject), el("time", { class: "muted", datetime: at }, dayAndTime(at))),
    el("p", { class: "muted" }, `To ${to}`),
    el("pre", { class: "mono" }, text.trim()),
    confirms ? el("button", { type: "button", class: "small", onclick: (e) => confirm(e.target, token[1] ?? token[2]) }, "Confirm this address") : null);
}

async function confirm(button, token) {
  button.disabled = true;
  try {
    await request("POST", "/v1/auth/verification/confirm", { body: { token } });
    button.textContent = "Confirmed";
    problem($("mail-problem"), null);
    confirmed();
  } catch (error) {
    problem($("mail-problem"), error);
  }
}
