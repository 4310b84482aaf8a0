/**
 * `--use-api-socket`: the container gets the daemon's socket, and the user's credentials for registries where clients in
 * it look for them.
 */
import { join } from "../../ffi/path.ts";
import type { ContainerCreateRequest } from "../api/schema/container-config.ts";
import type { Client } from "../client/client.ts";
import { writeArchive } from "../client/files.ts";
import { wrapError } from "../core/errors.ts";
import { endOfArchive, padding, tarHeader } from "../tar/tar-writer.ts";
import { CredentialStore } from "./credentials/store.ts";
import { printError } from "./output.ts";
import type { Session } from "./session.ts";

/** Docker's, where clients in a container look for the daemon and, by DOCKER_CONFIG, for credentials. */
const socketInContainer = "/var/run/docker.sock";
const configDirectoryInContainer = "/run/secrets/docker";

const configInContainer = `${configDirectoryInContainer}/config.json`;

export interface ApiSocket {
  body: ContainerCreateRequest;
  /** Puts the credentials into the container, which exists and has not started; undefined where there are none. */
  inject?: (id: string) => Promise<void>;
}

/** @throws EngineError when a credential helper fails, before any container is made. */
export async function withApiSocket(session: Session, body: ContainerCreateRequest): Promise<ApiSocket> {
  const client = await session.client();
  // A daemon elsewhere has its socket where Docker's is.
  const Source = client.address.socket ?? socketInContainer;
  const mount = { Type: "bind", Source, Target: socketInContainer };
  const HostConfig = { ...body.HostConfig, Mounts: [...(body.HostConfig?.Mounts ?? []), mount] };
  const mounted = { ...body, HostConfig };
  // Who says where the configuration is has put it there.
  if (body.Env?.some((variable) => variable.startsWith("DOCKER_CONFIG="))) return { body: mounted };
  const mountedAt = mountOver(body, configInContainer);
  if (mountedAt !== undefined) {
    // What is written there stays when the container goes, or is hidden when it starts.
    printError(
      `WARNING: No credentials for registries are put into the container: ${mountedAt} is a mount of its own.`,
    );
    return { body: mounted };
  }
  const auths = await new CredentialStore(session.configDirectory).allEntries();
  if (Object.keys(auths).length === 0) return { body: mounted };
  return {
    body: { ...mounted, Env: [...(body.Env ?? []), `DOCKER_CONFIG=${configDirectoryInContainer}`] },
    inject: async (id) => {
      try {
        await injectConfig(client, id, JSON.stringify({ auths }));
      } catch (error) {
        throw wrapError(error, "injecting docker config.json into container failed");
      }
    },
  };
}

/** Where the request mounts something at or above a path; what its image and other containers mount is not known here. */
function mountOver({ Volumes, HostConfig = {} }: ContainerCreateRequest, path: string): string | undefined {
  const { Binds, Mounts, Tmpfs } = HostConfig;
  const targets = [
    ...(Binds ?? []).map((bind) => bind.split(":")[1] ?? ""),
    ...(Mounts ?? []).map(({ Target }) => Target ?? ""),
    ...Object.keys(Volumes ?? {}),
    ...Object.keys(Tmpfs ?? {}),
  ];
  return targets.filter((target) => target !== "").find((target) => `${path}/`.startsWith(join(target, "/")));
}

/** For root alone, in the container's own layer: it goes with the container. */
async function injectConfig(client: Client, id: string, config: string): Promise<void> {
  const content = Buffer.from(config);
  const header = tarHeader({
    type: "file",
    path: configInContainer.slice(1),
    linkPath: "",
    mode: 0o600,
    uid: 0,
    gid: 0,
    size: content.length,
    mtime: { seconds: Math.floor(Date.now() / 1000), nanoseconds: 0 },
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: new Map(),
    sparse: undefined,
  });
  const archive = Buffer.concat([header, content, padding(content.length), endOfArchive]);
  const stream = new Blob([archive]).stream();
  await writeArchive(client.address, id, { path: "/", toUser: false }, stream);
}
