/** `tsd resolver --socket PATH`: the name server of all containers on user-defined networks. The daemon starts it. */
import { raiseOpenFilesLimit } from "../../../ffi/limits.ts";
import { companionMain } from "../companion/main.ts";
import { resolverProtocol } from "./records.ts";
import { ResolverService } from "./service.ts";

export function resolverMain(args: string[]): Promise<number> {
  // Each question that others are asked has a socket of its own.
  raiseOpenFilesLimit();
  return companionMain(
    { mode: "resolver", protocol: resolverProtocol, open: (loop) => new ResolverService(loop) },
    args,
  );
}
