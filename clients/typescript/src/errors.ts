/** The server refused a request, or failed. */
export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    message: string,
    /** The HTTP status. */
    readonly status: number,
    /** The server's code, for example `validation_error`. */
    readonly code: string,
    /** The invalid fields, each with its problems. */
    readonly fields: Record<string, string[]> = {},
    /** What the server's log names the request by. */
    readonly requestId?: string,
    /** After how many seconds the server would take the request again. */
    readonly retryAfter?: number,
  ) {
    super(message);
  }
}

/** Return the error that a response of any of the server's APIs reports. */
export async function readError(response: Response): Promise<ApiError> {
  const text = await response.text();
  const { code, message, fields } = report(parsed(text));
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return new ApiError(
    message ?? `The answer was ${response.status}.`,
    response.status,
    code ?? `http_${response.status}`,
    fields,
    response.headers.get("x-request-id") ?? undefined,
    Number.isFinite(seconds) ? seconds : undefined,
  );
}

interface Report {
  code?: string;
  message?: string;
  fields?: Record<string, string[]>;
}

/** `{"error": {…}}` (AVA), `{"error": "…"}` (AGH), `{"detail": "…"}` or fields (Avala). */
function report(body: unknown): Report {
  if (!isObject(body)) return {};
  const { error, detail } = body;
  if (isObject(error)) {
    return {
      ...(typeof error.code === "string" && { code: error.code }),
      ...(typeof error.message === "string" && { message: error.message }),
      fields: fieldsOf(error.fields),
    };
  }
  if (typeof error === "string") return { message: error };
  if (typeof detail === "string") return { message: detail };
  const fields = fieldsOf(body);
  return Object.keys(fields).length ? { code: "validation_error", message: "The request is invalid.", fields } : {};
}

function fieldsOf(given: unknown): Record<string, string[]> {
  if (!isObject(given)) return {};
  const entries = Object.entries(given).filter(([, texts]) => Array.isArray(texts));
  return Object.fromEntries(entries.map(([name, texts]) => [name, (texts as unknown[]).map(String)]));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
