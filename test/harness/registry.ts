import { mkdirSync, openSync } from "node:fs";
import { command, succeed, until } from "./command.ts";
import { imageLayout } from "./fixtures.ts";
import type { Workspace } from "./workspace.ts";

/** Debian's docker-registry on the loopback of a workspace's network namespace. */
export interface Registry {
  /** `127.0.0.1:5000` */
  host: string;
  /** Pushes a fixture image with skopeo. @returns the reference to pull it by. */
  push(fixture: "busybox" | "debian", name?: string): Promise<string>;
  /** Pushes the image `latest` of an OCI layout. @returns the reference to pull it by. */
  pushLayout(layout: string, name: string): Promise<string>;
}

export async function startRegistry(workspace: Workspace, port = 5000): Promise<Registry> {
  const host = `127.0.0.1:${port}`;
  const directory = workspace.path(`registry-${port}`);
  mkdirSync(directory);
  const config = `${directory}/config.yml`;
  await Bun.write(
    config,
    `version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: ${directory}/data}, delete: {enabled: true}}
http: {addr: "${host}"}
`,
  );
  const log = openSync(`${directory}/log`, "w");
  const child = Bun.spawn(workspace.inNetwork(["docker-registry", "serve", config]), {
    stdin: "ignore",
    stdout: log,
    stderr: log,
  });
  workspace.onClose("registry", async () => {
    child.kill();
    await child.exited;
  });
  await until("the registry answers", async () => {
    if (child.exitCode !== null) throw new Error(`docker-registry: ${await Bun.file(`${directory}/log`).text()}`);
    return (await command(workspace.inNetwork(["curl", "-sf", `http://${host}/v2/`]))).status === 0;
  });
  const pushLayout = async (layout: string, name: string) => {
    const reference = `${host}/${name}`;
    const target = `docker://${reference}${name.includes(":") ? "" : ":latest"}`;
    const flags = ["-q", "--insecure-policy", "--dest-tls-verify=false"];
    await succeed(workspace.inNetwork(["skopeo", "copy", ...flags, `oci:${layout}:latest`, target]), {
      timeoutMs: 120_000,
    });
    return reference;
  };
  return {
    host,
    pushLayout,
    push: async (fixture, name = fixture) => pushLayout(await imageLayout(fixture), name),
  };
}
