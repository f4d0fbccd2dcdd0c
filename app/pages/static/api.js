// The one way to the API. Tokens live in this module's memory and nowhere else:
// what is not stored cannot be read from there, two tabs never share a refresh
// token (a used one ends the session), and a reload logs out.

import { observe } from "./clock.js";

let access = null;
let refresh = null;
let renewal = null;
let ended = () => {};

// whenEnded is told that the server ended the session.
export function whenEnded(tell) { ended = tell; }

// Problem is an application/problem+json answer, or no answer at all (status 0).
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || body?.title || (status === 0 ? "The server cannot be reached." : `The server answered ${status}.`));
    this.status = status;
    this.code = body?.code;
    this.errors = body?.errors;
  }
}

// login fails with the code "totp-required" when the account has a second factor and code is empty.
export async function login(email, password, code) {
  const answer = await send("POST", "/v1/auth/login", { body: { email, password, ...(code && { code }) } });
  access = answer.body.accessToken;
  refresh = answer.body.refreshToken;
}

export const register = (account) => send("POST", "/v1/auth/register", { body: account });

export async function logout() {
  try {
    await request("POST", "/v1/auth/logout");
  } finally {
    forget();
  }
}

export function forget() { access = refresh = null; }

// request sends with the access token, and once more with a new one when it has
// expired. It returns {status, headers, body, took} or throws a Problem.
export async function request(method, path, options = {}) {
  const used = access;
  try {
    return await send(method, path, { ...options, token: used });
  } catch (error) {
    if (error.status !== 401 || !refresh) throw error;
    if (access === used) await renew();
    return send(method, path, { ...options, token: access });
  }
}

// renew is shared by all who need it at the same time: a refresh token is good once.
function renew() {
  renewal ??= exchange().finally(() => { renewal = null; });
  return renewal;
}

async function exchange() {
  const mine = refresh;
  try {
    const answer = await send("POST", "/v1/auth/refresh", { body: { refreshToken: mine } });
    if (refresh !== mine) return; // logged out meanwhile
    access = answer.body.accessToken;
    refresh = answer.body.refreshToken;
  } catch (error) {
    if (error.status === 401 && refresh === mine) {
      forget();
      ended();
    }
    throw error;
  }
}

async function send(method, path, { body, headers = {}, token } = {}) {
  const sent = { ...headers };
  if (token) sent.Authorization = `Bearer ${token}`;
  if (body !== undefined) sent["Content-Type"] = "application/json";

  const started = Date.now();
  let response, parsed;
  try {
    response = await fetch(path, {
      method, headers: sent, body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store", credentials: "omit",
    });
    const text = await response.text();
    observe(response.headers.get("Date"), started, Date.now());
    parsed = json(text);
  } catch {
    throw new Problem(0);
  }
  if (!response.ok) throw new Problem(response.status, parsed);
  return { status: response.status, headers: response.headers, body: parsed, took: Date.now() - started };
}

function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // an empty body, or a proxy's page
  }
}

// randomKey works over plain HTTP too, where crypto.randomUUID does not exist.
export function randomKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}
