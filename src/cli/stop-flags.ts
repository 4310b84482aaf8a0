/** What `stop` and `restart` take alike. */
import type { StopOptions } from "../client/client.ts";
import { intFlag, type ParsedFlags, stringFlag } from "./flags.ts";

export const stopFlags = {
  signal: stringFlag("Signal to send to the container", { short: "s" }),
  timeout: intFlag("Seconds to wait before killing the container", { short: "t" }),
  time: intFlag("Seconds to wait before killing the container", { hidden: true }),
};

/** What was given of them; the container's own signal and timeout hold for the rest. */
export function stopOptions({ values, given }: Pick<ParsedFlags<typeof stopFlags>, "values" | "given">): StopOptions {
  const timeoutSeconds = given.has("timeout") ? values.timeout : given.has("time") ? values.time : undefined;
  return {
    ...(values.signal !== "" && { signal: values.signal }),
    ...(timeoutSeconds !== undefined && { timeoutSeconds }),
  };
}
