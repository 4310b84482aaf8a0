/** Mounts whose files have other owners in the container than on the disk: `mounts[].uidMappings`, idmap and ridmap. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chownSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { succeed } from "../../harness/command.ts";
import type { ConfigChange, TestConfig } from "../../harness/oci-bundle.ts";
import { OciRuntime } from "../../harness/oci-runtime.ts";
import { isTsd, needs } from "../../harness/runtime-under-test.ts";

let runtime: OciRuntime;
/** With a file of each of the owners 0 and 1000, and a tmpfs below it that has them too. */
let source: string;
const container = [{ containerID: 0, hostID: 300000, size: 65536 }];

beforeAll(async () => {
  runtime = await OciRuntime.open();
  source = runtime.path("source");
  await succeed(["mkdir", "-p", join(source, "below")]);
  await succeed(["mount", "-t", "tmpfs", "tmpfs", join(source, "below")]);
  runtime.workspace.onClose("the tmpfs", async () => {
    await succeed(["umount", join(source, "below")]);
  });
  for (const owner of [0, 1000]) {
    for (const path of [join(source, `file${owner}`), join(source, "below", `file${owner}`)]) {
      writeFileSync(path, "");
      chownSync(path, owner, owner);
    }
  }
  for (const name of ["proc", "sys", "dev", "mnt"]) mkdirSync(join(runtime.rootfs, name), { recursive: true });
});

afterAll(() => runtime?.[Symbol.asyncDispose]());

type TestMount = TestConfig["mounts"][number];

function withMount(mount: Partial<TestMount>, change: ConfigChange = () => undefined): ConfigChange {
  return (config) => {
    config.mounts.push({ destination: "/mnt", type: "bind", source, options: ["rbind"], ...mount });
    change(config);
  };
}

const inUserNamespace: ConfigChange = ({ linux }) => {
  linux.namespaces = [...linux.namespaces!, { type: "user" }];
  linux.uidMappings = container;
  linux.gidMappings = container;
};

const look = ["sh", "-c", "cd /mnt; for f in file* below/file*; do stat -c '%n %u:%g' $f; done"];

async function owners(change: ConfigChange): Promise<string> {
  const { status, stdout, stderr } = await runtime.run(look, change);
  expect([status, stderr]).toEqual([0, ""]);
  return stdout.trim().replaceAll("\n", " ");
}

async function refusal(change: ConfigChange): Promise<string> {
  const container = runtime.bundle(["true"], change);
  const { message } = await runtime.fails("run", "--bundle", container.bundle, container.id);
  expect(runtime.traces(container.id)).toEqual([]);
  return message;
}

const nobody = "65534:65534";

test("without mappings the files of a bind mount are nobody's in a user namespace", async () => {
  const seen = `file0 ${nobody} file1000 ${nobody} below/file0 ${nobody} below/file1000 ${nobody}`;
  expect(await owners(withMount({}, inUserNamespace))).toBe(seen);
});

needs("runc >= 1.2")(
  "idmap takes the user namespace's mapping for the mount alone, ridmap for those below too",
  async () => {
    expect(await owners(withMount({ options: ["rbind", "idmap"] }, inUserNamespace))).toBe(
      `file0 0:0 file1000 1000:1000 below/file0 ${nobody} below/file1000 ${nobody}`,
    );
    expect(await owners(withMount({ options: ["rbind", "ridmap"] }, inUserNamespace))).toBe(
      "file0 0:0 file1000 1000:1000 below/file0 0:0 below/file1000 1000:1000",
    );
  },
);

needs("runc >= 1.2")("mappings of its own count in a container without a user namespace, both ways", async () => {
  const mapping = [{ containerID: 1000, hostID: 0, size: 1 }];
  const mapped = withMount({ options: ["rbind", "idmap"], uidMappings: mapping, gidMappings: mapping });
  expect(await owners(mapped)).toBe(`file0 ${nobody} file1000 0:0 below/file0 0:0 below/file1000 1000:1000`);
  const { status } = await runtime.run(["sh", "-c", "chown 0:0 /mnt/file1000; echo text > /mnt/file1000"], mapped);
  expect(status).toBe(0);
  expect(statSync(join(source, "file1000"))).toMatchObject({ uid: 1000, gid: 1000, size: 5 });
});

needs("runc >= 1.2")("mappings without an option are those of the mount alone", async () => {
  const mapped = withMount({ uidMappings: container, gidMappings: container }, inUserNamespace);
  expect(await owners(mapped)).toBe(`file0 0:0 file1000 1000:1000 below/file0 ${nobody} below/file1000 ${nobody}`);
});

needs("runc >= 1.2")("a file system that cannot be mapped is refused", async () => {
  const mount = { source: "/sys", options: ["rbind", "idmap"], uidMappings: container, gidMappings: container };
  const reason = isTsd
    ? "mounts[7]: mount_setattr owners of /sys: EINVAL (invalid argument): /sys: the file system sysfs cannot be mapped"
    : "/sys";
  expect(await refusal(withMount(mount))).toContain(reason);
});

needs("runc >= 1.2")("what is no bind mount cannot be mapped, nor anything by halves", async () => {
  const tmpfs = withMount({ type: "tmpfs", source: "tmpfs", options: ["idmap"] }, inUserNamespace);
  expect(await refusal(tmpfs)).toContain("only supported for bind-mounts");
  const half = withMount({ uidMappings: container });
  expect(await refusal(half)).toContain("must have both uid and gid mappings specified");
  expect(await refusal(withMount({ options: ["bind", "idmap"] }))).toContain(
    isTsd ? "mounts[7]: idmap needs uidMappings and gidMappings" : "id-mapped",
  );
});

needs("tsd")("the mappings can be crun's, of the host or of the container", async () => {
  const mapped = withMount(
    { options: ["rbind", "ridmap=uids=1000-300001-1#0-300002-1;gids=@0-3-2000"] },
    inUserNamespace,
  );
  expect(await owners(mapped)).toBe("file0 2:3 file1000 1:1003 below/file0 2:3 below/file1000 1:1003");
});
