/** `tsd resolver --socket PATH`: the name server of all containers on user-defined networks. The daemon starts it. */
import { companionMain } from "../companion/main.ts";
import { resolverProtocol } from "./records.ts";
import { ResolverService } from "./service.ts";

export function resolverMain(args: string[]): Promise<number> {
  return companionMain(
    { mode: "resolver", protocol: resolverProtocol, open: (loop) => new ResolverService(loop) },
    args,
  );
}
