/** HostConfig.UsernsMode: docker's `host`, podman's `auto`. */
import { EngineError } from "../../core/errors.ts";

export type UserNamespaceMode =
  /** As the daemon was told. */
  | { kind: "default" }
  | { kind: "host" }
  /** Users and groups of the container's own. */
  | { kind: "auto"; size: number };

/** Every 16-bit user: what images are made of. */
const sizeDefault = 65536;
const sizeMax = 2 ** 24;

/** @throws EngineError invalid_argument. */
export function parseUserNamespaceMode(text = ""): UserNamespaceMode {
  if (text === "") return { kind: "default" };
  if (text === "host") return { kind: "host" };
  const [word, options] = splitOnce(text);
  if (word !== "auto") throw invalid(text, "it can be host or auto");
  if (options === "") throw invalid(text, "auto: is followed by size=N");
  let size = sizeDefault;
  for (const option of options?.split(",") ?? []) {
    const [, digits] = /^size=(\d{1,8})$/.exec(option) ?? [];
    if (digits === undefined) throw invalid(text, `${option}: auto can have size=N`);
    size = Number(digits);
    if (size === 0 || size > sizeMax) throw invalid(text, `${option}: the size can be from 1 to ${sizeMax}`);
  }
  return { kind: "auto", size };
}

function splitOnce(text: string): [string, string | undefined] {
  const colon = text.indexOf(":");
  return colon < 0 ? [text, undefined] : [text.slice(0, colon), text.slice(colon + 1)];
}

function invalid(text: string, reason: string): EngineError {
  return new EngineError("invalid_argument", `invalid user namespace mode: ${text}: ${reason}`, { stage: "create" });
}
