// The page: who is logged in, and what happens when an event arrives.

import * as api from "./api.js";
import * as log from "./log.js";
import * as mail from "./mail.js";
import * as orders from "./orders.js";
import * as shop from "./shop.js";
import { $, problem } from "./dom.js";
import { Stream } from "./stream.js";

const stream = new Stream(
  async () => (await api.request("POST", "/v1/events/tickets")).body.ticket,
  {
    event(message, replayed) {
      log.add(message, replayed);
      orders.apply(message);
      shop.productsChanged();
    },
    reset() {
      log.tooLate();
      reload();
    },
    state(name, detail) {
      log.line(name, detail);
      // Read after the stream has begun: nothing falls between the two.
      if (name === "live" && !detail.resumed) reload();
    },
    ended: sessionEnded,
  },
);

function reload() {
  orders.loadOrders();
  shop.loadProducts();
}

function sessionEnded() {
  leave();
  problem($("login-problem"), new Error("The session has ended. Log in again."));
}

async function enter() {
  const { body: me } = await api.request("GET", "/v1/users/me");
  $("who-name").textContent = me.name || me.email;
  $("who-role").textContent = me.role === "admin" ? "admin" : "";
  orders.setRole(me.role);
  $("password").value = $("code").value = "";
  askCode(false);
  empty(); // of an answer that came after its reader had left
  show(true);
  $("shop").querySelector("h1").focus();
  shop.loadProducts();
  stream.start();
}

function leave() {
  stream.stop();
  api.forget();
  empty();
  show(false);
  $("email").focus();
}

function empty() {
  shop.clear();
  orders.clear();
  log.clear();
}

function show(inside) {
  $("door").hidden = inside;
  $("shop").hidden = $("who").hidden = !inside;
}

const mode = () => new FormData($("login")).get("mode");

function modeChanged() {
  const fresh = mode() === "register";
  $("name-field").hidden = $("password-hint").hidden = !fresh;
  $("enter").textContent = fresh ? "Create the account" : "Log in";
  $("password").autocomplete = fresh ? "new-password" : "current-password";
  problem($("login-problem"), null);
  askCode(false);
}

// askCode asks for a code of the second factor, which the server wants after the right password.
function askCode(wanted) {
  $("code-field").hidden = !wanted;
  $("code").required = wanted;
  if (wanted) $("code").focus();
}

async function submitted(e) {
  e.preventDefault();
  const email = $("email").value.trim();
  const password = $("password").value;
  const name = $("name").value.trim();
  $("enter").disabled = true;
  problem($("login-problem"), null);
  try {
    if (mode() === "register") await api.register({ email, password, ...(name && { name }) });
    await api.login(email, password, $("code").value.trim());
    await enter();
  } catch (error) {
    problem($("login-problem"), error.code === "totp-required" ? new Error("Now enter the code of your second factor.") : error);
    if (["totp-required", "invalid-code", "totp-locked"].includes(error.code)) askCode(true);
  } finally {
    $("enter").disabled = false;
  }
}

api.whenEnded(sessionEnded);
shop.setUp(orders.put);
orders.setUp(shop.follow);
$("login").addEventListener("submit", submitted);
$("login").addEventListener("change", (e) => { if (e.target.name === "mode") modeChanged(); });
$("logout").addEventListener("click", async () => {
  stream.stop();
  await api.logout().catch(() => {});
  leave();
});
$("cut").addEventListener("click", () => stream.cut());
$("resume").addEventListener("click", () => stream.resume());

mail.setUp(() => { if (!$("shop").hidden) { stream.stop(); stream.start(); reload(); } });

modeChanged();
show(false);
