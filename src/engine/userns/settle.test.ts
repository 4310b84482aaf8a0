import { describe, expect, test } from "bun:test";
import type { HostConfig } from "../../api/schema/container-config.ts";
import { EngineError } from "../../core/errors.ts";
import { builtinRuntime } from "../configuration.ts";
import type { EngineContext } from "../context.ts";
import { HostFiles } from "./host-files.ts";
import type { UserNamespace } from "./mapping.ts";
import { UserRanges } from "./ranges.ts";
import type { Remap } from "./remap.ts";
import { checkUserNamespace, settleUserNamespace } from "./settle.ts";
import { SpareUserNamespace } from "./spare.ts";

const mapping = [{ containerID: 0, hostID: 100_000, size: 65536 }];
const remapped: UserNamespace = { uids: mapping, gids: mapping };
const own: UserNamespace = { ...remapped, isOwn: true, mapsVolumes: true };
/** Containers that are there already. */
const others: Record<string, UserNamespace | undefined> = { own, host: undefined, remapped };

function contextWith(remap?: Remap, kernelVersion: [number, number] = [6, 1]): EngineContext {
  const find = (name: string) => {
    if (!Object.hasOwn(others, name)) throw new EngineError("not_found", `No such container: ${name}`);
    const userNamespace = others[name];
    return { name, definition: { ...(userNamespace !== undefined && { userNamespace }) } };
  };
  const userRanges = new UserRanges(new HostFiles("/nonexistent"), "/var/lib/tsd");
  const nothing = () => {
    throw new Error("nothing is made here");
  };
  const spareUsers = new SpareUserNamespace({ ranges: userRanges, make: nothing, prepare: nothing });
  return { containers: { find }, remap, kernelVersion, userRanges, spareUsers } as unknown as EngineContext;
}

function settle(hostConfig: HostConfig, remap?: Remap): UserNamespace | undefined {
  const context = contextWith(remap);
  const whole = { Runtime: builtinRuntime, ...hostConfig };
  checkUserNamespace(context, whole);
  return settleUserNamespace(context, "id", whole);
}

describe("a container's user namespace", () => {
  test("is the host's unless the daemon or the request says otherwise", () => {
    expect(settle({})).toBeUndefined();
    expect(settle({}, remapped)).toEqual(remapped);
    expect(settle({ UsernsMode: "host", Privileged: true }, remapped)).toBeUndefined();
    expect(settle({}, "auto")).toMatchObject({ isOwn: true, mapsVolumes: true });
    expect(settle({ UsernsMode: "auto:size=5" }, remapped)?.uids).toEqual([
      { containerID: 0, hostID: expect.any(Number), size: 5 },
    ]);
  });

  test("is that of the container whose namespaces it shares, which has the same users", () => {
    expect(settle({ NetworkMode: "container:own" })).toEqual(own);
    expect(settle({ IpcMode: "container:own", PidMode: "container:own" }, "auto")).toEqual(own);
    expect(settle({ PidMode: "container:host" }, remapped)).toBeUndefined();
    expect(settle({ NetworkMode: "container:own", UsernsMode: "host" })).toBeUndefined();
  });

  test.each<[HostConfig, string]>([
    [{ UsernsMode: "auto", Privileged: true }, "privileged mode is incompatible with user namespaces."],
    [{ UsernsMode: "auto", NetworkMode: "host" }, "cannot share the host's network namespace"],
    [{ UsernsMode: "auto", PidMode: "host" }, "cannot share the host PID namespace"],
    [{ UsernsMode: "auto", IpcMode: "host" }, "cannot share the host's IPC namespace"],
    [{ UsernsMode: "auto", Runtime: "runc" }, "user namespaces with the runtime runc are not built"],
    [{ UsernsMode: "auto", NetworkMode: "container:own" }, "cannot share namespaces of container own"],
    [
      { IpcMode: "container:own", NetworkMode: "container:host" },
      "containers host and own are in different user namespaces",
    ],
    [{ Privileged: true, NetworkMode: "container:own" }, "privileged mode is incompatible with user namespaces."],
    [{ NetworkMode: "container:none" }, "No such container: none"],
    [{ UsernsMode: "keep-id" }, "invalid user namespace mode: keep-id"],
  ])("%j is refused", (hostConfig, message) => {
    expect(() => settle(hostConfig)).toThrow(message);
  });

  test("needs a kernel that knows of mapped layers", () => {
    const hostConfig = { UsernsMode: "auto", Runtime: builtinRuntime };
    expect(() => checkUserNamespace(contextWith(undefined, [5, 18]), hostConfig)).toThrow(
      "user namespaces need Linux 5.19 or newer, for layers with mapped owners; this is 5.18",
    );
    checkUserNamespace(contextWith(undefined, [5, 19]), hostConfig);
  });
});
