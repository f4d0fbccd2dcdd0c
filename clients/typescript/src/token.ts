/**
 * An access token, an API key, or a function that returns one. The function is called before every
 * request. `rejected` is true if the server rejected the previous token with 401: return a new one.
 */
export type Token = string | ((reason: { rejected: boolean }) => string | Promise<string>);

/** Returns the present token. */
export async function tokenOf(token: Token, rejected: boolean): Promise<string> {
  return typeof token === "string" ? token : token({ rejected });
}
