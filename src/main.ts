/**
 * The one entry: looks at the name it was called by and at the first word, and imports only that mode. Start-up
 * time is what every command pays, so nothing else is imported here. It holds the only process.exit.
 */
import { basename } from "../ffi/path.ts";

type Mode = (args: string[]) => Promise<number>;

const runtimeNames = new Set(["tsd-runc", "runc"]);

async function select(invokedAs: string, args: string[]): Promise<number> {
  if (runtimeNames.has(invokedAs)) return run((await import("./runtime/cli/main.ts")).runtimeMain, args);
  const [first, ...rest] = args;
  switch (first) {
    case "runtime":
      return run((await import("./runtime/cli/main.ts")).runtimeMain, rest);
    case "shim":
      return run((await import("./shim/main.ts")).shimMain, rest);
    case "daemon":
      return run((await import("./daemon/main.ts")).daemonMain, rest);
    case "proxy":
      return run((await import("./network/ports/proxy/main.ts")).proxyMain, rest);
    case "resolver":
      return run((await import("./network/names/main.ts")).resolverMain, rest);
    case "unpack":
      return run((await import("./image/unpack/main.ts")).unpackMain, rest);
    case "pack":
      return run((await import("./image/pack/main.ts")).packMain, rest);
    case "copy":
      return run((await import("./image/copy/main.ts")).copyMain, rest);
    case "fsck-root":
      return run((await import("./daemon/fsck-root.ts")).fsckRootMain, rest);
    case "hello-report":
      return run((await import("./report/main.ts")).reportMain, rest);
    default:
      return run((await import("./cli/main.ts")).cliMain, args);
  }
}

function run(mode: Mode, args: string[]): Promise<number> {
  return mode(args);
}

process.exit(await select(basename(process.argv0), process.argv.slice(2)));
