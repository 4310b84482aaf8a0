import type { MiddlewareHandler } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { ApiEnv } from "./transport.ts";

/** `c.json` as Go's encoder writes it: with the end of a line, without which a shell's `read` takes it for no line. */
export const jsonAnswers: MiddlewareHandler<ApiEnv> = (c, next) => {
  const answer = (value: unknown, status?: ContentfulStatusCode) =>
    c.body(`${JSON.stringify(value)}\n`, status, { "content-type": "application/json" });
  c.json = answer as unknown as typeof c.json;
  return next();
};
