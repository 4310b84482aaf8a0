/**
 * The addresses of network file systems. The kernel knows no names: mount.nfs(8) and mount.cifs(8) look them up before
 * they call mount(2), and so does docker, by these rules.
 */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { EngineError, errorMessage } from "../../core/errors.ts";
import type { LocalMount } from "./options.ts";

export type Resolve = (name: string) => Promise<string>;

/** IPv4 first, as docker does. */
const resolveOnHost: Resolve = async (name) => {
  const found = await lookup(name, { all: true });
  const address = found.find(({ family }) => family === 4) ?? found[0];
  if (address === undefined) throw new Error(`no address for ${name}`);
  return address.address;
};

/** @throws EngineError unavailable for a name that has no address. */
export async function withAddress(mount: LocalMount, resolve = resolveOnHost): Promise<LocalMount> {
  const isCifs = mount.type === "cifs" || mount.type === "smb3";
  if (!isCifs && mount.type !== "nfs" && mount.type !== "nfs4") return mount;
  const named = mount.options.split(",").find((option) => option.startsWith("addr="));
  const name = named?.slice("addr=".length) ?? "";
  if (name !== "" && isIP(name) === 0) {
    return { ...mount, options: mount.options.replace(named!, `addr=${await resolved(name, resolve)}`) };
  }
  const server = isCifs && name === "" ? /^\/\/([^/]+)/.exec(mount.device)?.[1] : undefined;
  if (server === undefined || isIP(server) !== 0) return mount;
  return { ...mount, device: mount.device.replace(server, await resolved(server, resolve)) };
}

async function resolved(name: string, resolve: Resolve): Promise<string> {
  try {
    return await resolve(name);
  } catch (error) {
    throw new EngineError(
      "unavailable",
      `error resolving passed in network volume address: ${name}: ${errorMessage(error)}`,
      { cause: error },
    );
  }
}
