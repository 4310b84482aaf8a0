import { invalid } from "./errors.ts";
import { isJson } from "./media-types.ts";
import type { ApiContext } from "./transport.ts";

/**
 * The request's JSON; undefined without a body.
 * @throws EngineError invalid_argument, in Docker's words, for another content type and for what is no JSON.
 */
export async function readJson(c: ApiContext): Promise<unknown> {
  const contentType = c.req.header("content-type") ?? "";
  const text = await c.req.text();
  if (text === "" && contentType === "") return undefined;
  if (!isJson(contentType)) {
    throw invalid(`unsupported Content-Type header (${contentType}): must be 'application/json'`);
  }
  return text === "" ? undefined : parseJson(text);
}

/** @throws EngineError invalid_argument in Docker's words. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw invalid(`invalid JSON: ${(error as Error).message}`);
  }
}

/** As readJson, for routes whose body is not optional. */
export async function readJsonBody(c: ApiContext): Promise<unknown> {
  const body = await readJson(c);
  if (body === undefined) throw invalid("invalid JSON: got EOF while reading request body");
  return body;
}
