import { readFileSync } from "node:fs";
import { join } from "node:path";
import { wrapError } from "../core/errors.ts";
import type { RuntimeConfig } from "../oci/runtime.ts";
import type { RuntimeDriver } from "./driver.ts";
import type { ShimContainer } from "./protocol.ts";
import type { Reaper } from "./reaper.ts";

/** Chooses how the container is run; only that way is loaded. @throws EngineError for a bundle that is wrong. */
export async function openDriver(container: ShimContainer, reaper: Reaper): Promise<RuntimeDriver> {
  const config = container.config ?? (await readConfig(container.bundle));
  if (container.runtime === undefined) {
    const { BuiltinRuntime } = await import("./builtin-runtime.ts");
    return new BuiltinRuntime(container, config, reaper);
  }
  const [{ CommandRuntime }, { openCgroup }] = await Promise.all([
    import("./command-runtime.ts"),
    import("../runtime/cgroup/cgroup.ts"),
  ]);
  const path = config.linux?.cgroupsPath;
  const oomFigures = () => (path === undefined ? undefined : openCgroup(path).oomFigures());
  return new CommandRuntime({ container, config, reaper, oomFigures });
}

/** The schema is loaded only here: a daemon that has checked the configuration sends it along. */
async function readConfig(bundle: string): Promise<RuntimeConfig> {
  const path = join(bundle, "config.json");
  let json: string;
  try {
    json = readFileSync(path, "utf8");
  } catch (error) {
    throw wrapError(error, `read ${path}`, { path });
  }
  const { parseRuntimeConfig } = await import("../oci/runtime.ts");
  return parseRuntimeConfig(json, path);
}
