import { existsSync, isDirectoryAt, writeFileSync } from "../../../ffi/fs.ts";
import { join } from "../../../ffi/path.ts";
import { isErrno, wrapError } from "../../core/errors.ts";
import { specTemplate } from "../spec-template.ts";
import { command } from "./command.ts";

export const verb = command({
  argumentsUsage: "[arguments...]",
  help: [
    {
      heading: "DESCRIPTION",
      text:
        'Writes a starter "config.json" for a bundle: a shell on a terminal, with a root filesystem in\n' +
        '"rootfs". Edit process.args and whatever else the container needs, then start it with "run".',
    },
  ],
  flags: {
    bundle: { kind: "text", alias: "b", default: "", usage: "path to the root of the bundle directory" },
    rootless: { kind: "boolean", usage: "generate a configuration for a rootless container" },
  },
  arguments: { min: 0, max: 0 },
  run(_context, flags) {
    const bundle = flags.bundle || ".";
    if (!isDirectoryAt(bundle)) throw new Error(`bundle ${bundle}: no such directory`);
    const config = specTemplate({
      cgroupNamespace: existsSync("/sys/fs/cgroup/cgroup.controllers"),
      ...(flags.rootless && { rootless: { uid: process.geteuid!(), gid: process.getegid!() } }),
    });
    const path = join(bundle, "config.json");
    try {
      writeFileSync(path, JSON.stringify(config, null, "\t"), { flag: "wx", mode: 0o666 });
    } catch (error) {
      if (isErrno(error, "EEXIST")) throw new Error(`${path} exists; remove it first`, { cause: error });
      throw wrapError(error, `write ${path}`);
    }
    return 0;
  },
});
