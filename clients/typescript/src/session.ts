import { login, refresh } from "./api/sdk.gen.js";
import type { LoginRequest } from "./api/types.gen.js";
import { type ClientOptions, createOrderflowClient } from "./client.js";

/** The two tokens of a session. */
export interface SessionTokens {
  accessToken: string;
  refreshToken: string;
}

/**
 * The tokens of a user who logged in. `token` is for `createOrderflowClient` and `follow`; it
 * replaces an access token that the server rejects with the refresh token.
 */
export class LoginSession {
  private refreshing: Promise<string> | undefined;
  private readonly client;

  /**
   * Continues a session whose tokens were stored. `onRefresh` is called with each new pair; store it,
   * because a refresh token is valid once.
   */
  constructor(
    private readonly options: Omit<ClientOptions, "token"> & { onRefresh?: (tokens: SessionTokens) => void },
    private tokens: SessionTokens,
  ) {
    this.client = createOrderflowClient({ url: options.url, fetch: options.fetch });
  }

  /** Logs in with an e-mail address and a password, and the code of a second factor if there is one. */
  static async login(options: ConstructorParameters<typeof LoginSession>[0], body: LoginRequest): Promise<LoginSession> {
    const { data } = await login({ client: createOrderflowClient({ url: options.url, fetch: options.fetch }), body });
    return new LoginSession(options, data);
  }

  readonly token = async ({ rejected }: { rejected: boolean }): Promise<string> => {
    if (!rejected) return this.refreshing ?? this.tokens.accessToken;
    this.refreshing ??= this.refresh().finally(() => (this.refreshing = undefined));
    return this.refreshing;
  };

  private async refresh(): Promise<string> {
    const { data } = await refresh({ client: this.client, body: { refreshToken: this.tokens.refreshToken } });
    this.tokens = { accessToken: data.accessToken, refreshToken: data.refreshToken };
    this.options.onRefresh?.(this.tokens);
    return this.tokens.accessToken;
  }
}
