import { describe, expect, test } from "bun:test";
import { chownSync, lstatSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MS_REC, MS_SLAVE, mountFlags } from "../../../ffi/constants/mount.ts";
import { CLONE_NEWNS, cloneFlags } from "../../../ffi/constants/namespace.ts";
import { takesDetachedLayers } from "../../../ffi/overlay.ts";
import { PlanBuilder } from "../../../ffi/plan/builder.ts";
import { type PlanProcess, spawnPlan } from "../../../ffi/plan/spawn.ts";
import { constant, flags, str } from "../../../ffi/plan/values.ts";
import type { OciMount, RuntimeConfig } from "../../oci/runtime.ts";
import { makeMappingNamespace } from "../mapping-namespace.ts";
import type { OverlayMount } from "../options.ts";
import { writeUserMaps } from "../user-maps.ts";
import { attachAtPath } from "./attributes.ts";
import { type Bundle, canRunPlans, dockerLikeConfig, makeBundle, type Outcome, runConfig } from "./fixture.ts";
import { compileInit } from "./init.ts";
import { mappedOverlay } from "./mapped-overlay.ts";
import { type MappingNamespace, Mappings, mappingNamespaces } from "./mappings.ts";

const asRoot = test.skipIf(!canRunPlans);
const container = [{ containerID: 0, hostID: 200000, size: 65536 }];

function inUserNamespace(command: string): RuntimeConfig {
  const config = dockerLikeConfig(command);
  const types = ["mount", "network", "uts", "pid", "ipc", "user"] as const;
  const namespaces = types.map((type) => ({ type }));
  return { ...config, linux: { ...config.linux, namespaces, uidMappings: container, gidMappings: container } };
}

/** A directory with a file of each of some owners. The container's root could not make places to mount on. */
function makeSource(bundle: Bundle): string {
  for (const name of ["proc", "sys", "dev"]) mkdirSync(join(bundle.rootfs, name));
  const source = join(bundle.path, "source");
  mkdirSync(source);
  for (const owner of [0, 7, 1000]) {
    writeFileSync(join(source, String(owner)), "");
    chownSync(join(source, String(owner)), owner, owner);
  }
  return source;
}

const list = "cd /tmp; for f in *; do stat -c '%n %u:%g' $f; done";

function run(bundle: Bundle, config: RuntimeConfig, rootfsMount?: OverlayMount): Outcome {
  using namespaces = new DisposableStack();
  const descriptors = Object.fromEntries(
    mappingNamespaces(config, rootfsMount?.mapped).map(({ name, mappings }) => [
      name,
      namespaces.use(makeMappingNamespace(mappings.uids, mappings.gids)),
    ]),
  );
  const writeMaps = (process: PlanProcess) => writeUserMaps(process.pid, container, container);
  return runConfig(bundle, config, {
    descriptors,
    at: { "user-maps": writeMaps },
    ...(rootfsMount && { rootfsMount }),
  });
}

function withMount(config: RuntimeConfig, mount: Partial<OciMount>): RuntimeConfig {
  config.mounts!.push({ destination: "/tmp", type: "bind", options: ["bind"], ...mount });
  return config;
}

describe("a mapped bind mount", () => {
  asRoot("has the container's own mapping when none is given, and files made in it the same owners on the disk", () => {
    using bundle = makeBundle();
    const source = makeSource(bundle);
    const command = `${list}; echo > new; stat -c '%u' new`;
    const { output, error } = run(bundle, withMount(inUserNamespace(command), { source, options: ["rbind", "idmap"] }));
    expect(error).toBeUndefined();
    expect(output).toBe("0 0:0\n1000 1000:1000\n7 7:7\n0\n");
    expect(statSync(join(source, "new")).uid).toBe(0);
  });

  asRoot("without the option belongs to nobody in the container", () => {
    using bundle = makeBundle();
    const { output, error } = run(bundle, withMount(inUserNamespace(list), { source: makeSource(bundle) }));
    expect(error).toBeUndefined();
    expect(output).toBe("0 65534:65534\n1000 65534:65534\n7 65534:65534\n");
  });

  asRoot("has mappings of its own, in a container without a user namespace as well", () => {
    using bundle = makeBundle();
    const source = makeSource(bundle);
    chownSync(source, 1000, 1000);
    const mapping = [{ containerID: 1000, hostID: 0, size: 1 }];
    const config = dockerLikeConfig(`${list}; echo > new`);
    const { output, error } = run(bundle, withMount(config, { source, uidMappings: mapping, gidMappings: mapping }));
    expect(error).toBeUndefined();
    expect(output).toBe("0 65534:65534\n1000 0:0\n7 65534:65534\n");
    expect(statSync(join(source, "new")).uid).toBe(1000);
  });

  asRoot("has crun's mappings, of the host and of the container", () => {
    using bundle = makeBundle();
    const source = makeSource(bundle);
    const option = "idmap=uids=1000-200005-1#7-200006-1;gids=@0-3-8";
    const { output, error } = run(bundle, withMount(inUserNamespace(list), { source, options: ["bind", option] }));
    expect(error).toBeUndefined();
    expect(output).toBe("0 65534:3\n1000 5:65534\n7 6:10\n");
  });

  test("needs one user namespace for each mapping, whoever uses it", () => {
    const mapping = [{ containerID: 0, hostID: 5, size: 1 }];
    const config = inUserNamespace("true");
    withMount(config, { options: ["bind", "idmap"] });
    withMount(config, { options: ["rbind", "ridmap"] });
    withMount(config, { uidMappings: mapping, gidMappings: mapping });
    const names = mappingNamespaces(config, true).map(({ name, mappings }) => [name, mappings.uids]);
    expect(names).toEqual([
      ["mapping.0", container],
      ["mapping.1", mapping],
    ]);
  });

  test.each<[Partial<OciMount>, string]>([
    [{ type: "tmpfs", options: ["idmap"] }, "mounts[6]: id-mapped mounts are only supported for bind-mounts"],
    [{ uidMappings: container }, "mounts[6]: id-mapped mounts must have both uid and gid mappings specified"],
    [{ options: ["bind", "idmap"] }, "mounts[6]: idmap needs uidMappings and gidMappings in a container without"],
    [
      { options: ["bind", "idmap=uids=0-1-0;gids=0-1-1"] },
      'mounts[6].options: idmap=uids=0-1-0;gids=0-1-1: "0-1-0" is',
    ],
    [{ options: ["bind", "idmap=uids=0-1-1"] }, '"uids=0-1-1" is no mapping of owners'],
    [{ options: ["bind", "idmap=uids=@0-1-1;gids=0-1-1"] }, '"@0-1-1" is no mapping of owners'],
    [
      { options: ["bind", "idmap=uids=0-1-1"], uidMappings: container, gidMappings: container },
      "idmap has mappings beside uidMappings",
    ],
  ])("%j is refused", (mount, message) => {
    const config = withMount(dockerLikeConfig("true"), { source: "/tmp", ...mount });
    const context = { id: "x", bundle: "/b", start: "now", cgroupProcs: 0 } as const;
    expect(() => compileInit(config, context)).toThrow(message);
  });

  test("is refused to users without privileges", () => {
    const config = withMount(inUserNamespace("true"), { source: "/tmp", options: ["bind", "idmap"] });
    const context = { id: "x", bundle: "/b", start: "now", cgroupProcs: 0, unprivileged: true } as const;
    expect(() => compileInit(config, context)).toThrow("id-mapped mounts are not supported for rootless containers");
  });
});

describe("an overlay with mapped layers", () => {
  const overlayOf = (bundle: Bundle): OverlayMount => {
    const [upper, work] = [join(bundle.path, "upper"), join(bundle.path, "work")];
    for (const directory of [upper, work]) mkdirSync(directory);
    return { lower: [bundle.rootfs], upper, work, mapped: true };
  };

  asRoot("is the container's own, and leaves its owners on the disk", () => {
    using bundle = makeBundle();
    const overlay = overlayOf(bundle);
    writeFileSync(join(bundle.rootfs, "etc/owned"), "before\n");
    chownSync(join(bundle.rootfs, "etc/owned"), 7, 8);
    symlinkSync("owned", join(bundle.rootfs, "etc/gone"));
    const script = `stat -c '%u:%g' / /etc/owned; echo after > /etc/owned; stat -c '%u:%g' /etc/owned
      echo > /etc/new; busybox chown 5:6 /etc/new; busybox rm /etc/gone; busybox mkdir /etc/dir; busybox mknod /x p; ls /etc`;
    const { output, error } = run(bundle, inUserNamespace(script), overlay);
    expect(error).toBeUndefined();
    expect(output).toBe("0:0\n7:8\n7:8\ndir\nnew\nowned\n");
    const owner = (name: string) => {
      const { uid, gid } = lstatSync(join(overlay.upper!, name));
      return `${name} ${uid}:${gid}`;
    };
    const names = readdirSync(join(overlay.upper!, "etc"));
    expect(names.map((name) => owner(`etc/${name}`)).sort()).toEqual([
      "etc/dir 0:0",
      "etc/gone 0:0",
      "etc/new 5:6",
      "etc/owned 7:8",
    ]);
    expect(owner("x")).toBe("x 0:0");
    expect(statSync(join(bundle.rootfs, "etc/owned"))).toMatchObject({ uid: 7, gid: 8 });
  });

  for (const detached of [true, false]) {
    const can = test.skipIf(!canRunPlans || (detached && !takesDetachedLayers()));
    can(`shows the host mapped owners, by ${detached ? "descriptors, of Linux 6.15" : "paths"}`, () => {
      using bundle = makeBundle();
      const overlay = { ...overlayOf(bundle), mapped: true };
      const place = join(bundle.path, "place");
      mkdirSync(place);
      chownSync(join(bundle.rootfs, "etc"), 7, 8);
      const config = inUserNamespace("true");
      const plan = new PlanBuilder();
      plan.call("unshare", [constant(CLONE_NEWNS, cloneFlags)]);
      plan.call("mount", [null, str("/"), null, flags(MS_SLAVE | MS_REC, mountFlags), null]);
      const root = mappedOverlay(plan, overlay, place, new Mappings(config, true), { mapped: true, detached });
      attachAtPath(plan, root, place);
      plan.checkpoint("made", true);
      const [{ name, mappings }] = mappingNamespaces(config, true) as [MappingNamespace];
      using namespace = makeMappingNamespace(mappings.uids, mappings.gids);
      plan.call("exit_group", [0]);
      using process = spawnPlan(plan.build(), { descriptors: { [name]: namespace } });
      expect(process.next() ?? process.failure()?.error).toBe("made");
      const { uid, gid } = statSync(`/proc/${process.pid}/root${place}/etc`);
      expect([uid, gid]).toEqual([200_007, 200_008]);
      expect(readdirSync(place)).toEqual([]);
      process.kill();
    });
  }

  test("is refused by kernels before 5.19", () => {
    const overlay = { lower: ["/l/1"], upper: "/l/u", work: "/l/w", mapped: true };
    const mappings = new Mappings(inUserNamespace("true"), true);
    expect(() => mappedOverlay(new PlanBuilder(), overlay, "/r", mappings, { mapped: false, detached: false })).toThrow(
      "root.path: layers with mapped owners need Linux 5.19 or newer",
    );
  });

  test("needs a user namespace with a root", () => {
    const context = { id: "x", bundle: "/b", start: "now", cgroupProcs: 0 } as const;
    const rootfsMount = { lower: ["/l/1"], upper: "/l/u", work: "/l/w", mapped: true };
    expect(() => compileInit(dockerLikeConfig("true"), { ...context, rootfsMount })).toThrow("root: idmap needs");
    const config = inUserNamespace("true");
    config.linux = { ...config.linux, uidMappings: [{ containerID: 1, hostID: 1, size: 1 }] };
    expect(() => compileInit(config, { ...context, rootfsMount })).toThrow("needs user and group 0");
  });
});
