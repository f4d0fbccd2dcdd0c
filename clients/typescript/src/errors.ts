import type { Problem } from "./api/types.gen.js";

/** A response with an error status. `code` is stable and tells programs what went wrong. */
export class ApiError extends Error {
  /** The HTTP status. */
  readonly status: number;
  /** The problem document (RFC 9457), unless a proxy responded. */
  readonly problem?: Problem;
  /** The code of the problem, such as `out-of-stock`. */
  readonly code?: string;
  /** The id of the request, as in the logs of the server. */
  readonly requestId?: string;
  /** Milliseconds to wait before the next attempt, if the response says so. */
  readonly retryAfter?: number;

  constructor(response: Response, body: unknown) {
    const problem = isProblem(body) ? body : undefined;
    super(problem ? `${problem.code}: ${problem.detail}` : `${response.status} ${response.statusText || "error"}`);
    this.name = "ApiError";
    this.status = response.status;
    this.problem = problem;
    this.code = problem?.code;
    this.requestId = problem?.requestId ?? response.headers.get("X-Request-Id") ?? undefined;
    this.retryAfter = parseRetryAfter(response.headers.get("Retry-After"));
  }

  /** Reads the body of a response with an error status. */
  static async from(response: Response): Promise<ApiError> {
    const text = await response.text().catch(() => "");
    let body: unknown = text;
    try {
      body = JSON.parse(text);
    } catch {
      // a proxy responded
    }
    return new ApiError(response, body);
  }

  /** Reports whether the same request may succeed later. */
  get temporary(): boolean {
    return this.status >= 500 || [408, 425, 429].includes(this.status);
  }
}

function isProblem(body: unknown): body is Problem {
  return typeof body === "object" && body !== null && "code" in body && "detail" in body;
}

/** Parses seconds or an HTTP date (RFC 9110 section 10.2.3) into milliseconds. */
export function parseRetryAfter(header: string | null): number | undefined {
  if (header === null || header.trim() === "") return undefined;
  const seconds = Number(header);
  const delay = Number.isNaN(seconds) ? Date.parse(header) - Date.now() : seconds * 1000;
  return Number.isNaN(delay) ? undefined : Math.max(0, delay);
}
