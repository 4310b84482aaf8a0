import { copyFileSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { type Certificates, makeCertificates } from "./certificates.ts";
import { command, succeed, until } from "./command.ts";
import { imageLayout } from "./fixtures.ts";
import type { Workspace } from "./workspace.ts";

export interface RegistryOptions {
  /** Default 5000. */
  port?: number;
  /**
   * Another IPv4 address than 127.0.0.1: it is added to the network namespace's loopback device. Clients do not trust it
   * as they trust 127.0.0.0/8 and localhost, where certificates are not verified and plain HTTP is spoken.
   */
  address?: string;
  /** The one user that may do anything; nobody else may. */
  htpasswd?: { user: string; password: string };
  /** Who has a token that was signed by a certificate under that authority may do what it says. */
  token?: { realm: string; service: string; issuer: string; rootcertbundle: string };
  /** HTTPS under a private authority, for the address and for localhost. "client": clients need a certificate too. */
  tls?: "server" | "client";
  /** May blobs and manifests be deleted? Default true. */
  delete?: boolean;
}

/** Debian's docker-registry on the loopback of a workspace's network namespace. */
export interface Registry {
  /** `127.0.0.1:5000` */
  host: string;
  /** `http://127.0.0.1:5000` */
  url: string;
  /** With `tls`. */
  certificates?: Certificates;
  /** With `tls`: ca.crt, client.cert and client.key, as they lie in a certs.d/HOST. */
  certificateDirectory?: string;
  /** Where it keeps its blobs, by docker-registry's own layout. */
  data: string;
  /** The requests that it has answered, as lines of an access log. */
  accesses(): Promise<string[]>;
  /** Kills it, as a crash does, and starts it again on what it has. */
  restart(): Promise<void>;
  /** What skopeo needs to reach it; `--dest-…` for a target, `--src-…` for a source, none for `inspect`. */
  skopeoFlags(side: "dest" | "src" | ""): string[];
  /** Pushes a fixture image with skopeo. @returns the reference to pull it by. */
  push(fixture: "busybox" | "debian", name?: string): Promise<string>;
  /** Pushes the image `latest` of an OCI layout, with all its platforms. @returns the reference to pull it by. */
  pushLayout(layout: string, name: string): Promise<string>;
}

export async function startRegistry(workspace: Workspace, options: RegistryOptions = {}): Promise<Registry> {
  const { port = 5000, address = "127.0.0.1", tls, htpasswd } = options;
  const host = `${address}:${port}`;
  const directory = workspace.path(`registry-${port}`);
  mkdirSync(directory);
  if (address !== "127.0.0.1") await addAddress(workspace, address);
  const certificates = tls && (await makeCertificates(join(directory, "certificates"), [address, "localhost"]));
  const certificateDirectory = certificates && clientDirectory(join(directory, "certs.d"), certificates, tls);
  const registry: Registry = {
    host,
    url: `${tls ? "https" : "http"}://${host}`,
    ...(certificates && { certificates }),
    ...(certificateDirectory !== undefined && { certificateDirectory }),
    data: join(directory, "data"),
    accesses: async () => (await Bun.file(join(directory, "accesses")).text()).split("\n").filter(Boolean),
    restart: async () => {
      child.kill("SIGKILL");
      await child.exited;
      child = serve(workspace, directory, join(directory, "config.yml"));
      await answering();
    },
    skopeoFlags: (side) => {
      const flag = (name: string, value: string) => `--${side === "" ? "" : `${side}-`}${name}=${value}`;
      return [
        flag("tls-verify", String(tls !== undefined)),
        ...(certificateDirectory === undefined ? [] : [flag("cert-dir", certificateDirectory)]),
        ...(htpasswd ? [flag("creds", `${htpasswd.user}:${htpasswd.password}`)] : []),
      ];
    },
    push: async (fixture, name = fixture) => registry.pushLayout(await imageLayout(fixture), name),
    pushLayout: async (layout, name) => {
      const reference = `${host}/${name}`;
      const target = `docker://${reference}${name.includes(":") ? "" : ":latest"}`;
      const flags = ["-q", "--insecure-policy", "--all", ...registry.skopeoFlags("dest")];
      await succeed(workspace.inNetwork(["skopeo", "copy", ...flags, `oci:${layout}:latest`, target]), {
        timeoutMs: 120_000,
      });
      return reference;
    },
  };
  let child = serve(workspace, directory, await configuration(directory, registry, options));
  const answering = () =>
    until("the registry answers", async () => {
      if (child.exitCode !== null) throw new Error(`docker-registry: ${await Bun.file(join(directory, "log")).text()}`);
      return answers(workspace, registry);
    });
  await answering();
  return registry;
}

async function addAddress(workspace: Workspace, address: string): Promise<void> {
  const { stdout } = await workspace.run(["ip", "-o", "address", "show", "dev", "lo"]);
  if (stdout.includes(` ${address}/`)) return; // another registry of this workspace has it too
  await succeed(workspace.inNetwork(["ip", "address", "add", `${address}/32`, "dev", "lo"]));
}

/** As docker's, podman's and skopeo's manual pages name the files (certs.d(5)). */
function clientDirectory(directory: string, certificates: Certificates, tls: "server" | "client"): string {
  mkdirSync(directory);
  copyFileSync(certificates.ca, join(directory, "ca.crt"));
  if (tls === "client") {
    copyFileSync(certificates.client.certificate, join(directory, "client.cert"));
    copyFileSync(certificates.client.key, join(directory, "client.key"));
  }
  return directory;
}

/** @returns the path of docker-registry's configuration. JSON is YAML too. */
async function configuration(directory: string, registry: Registry, options: RegistryOptions): Promise<string> {
  const { htpasswd, tls } = options;
  const users = join(directory, "htpasswd");
  if (htpasswd) {
    const hash = await Bun.password.hash(htpasswd.password, { algorithm: "bcrypt", cost: 4 });
    await Bun.write(users, `${htpasswd.user}:${hash}\n`);
  }
  const { certificates } = registry;
  const path = join(directory, "config.yml");
  await Bun.write(
    path,
    JSON.stringify({
      version: "0.1",
      log: { level: "error" },
      storage: { filesystem: { rootdirectory: registry.data }, delete: { enabled: options.delete ?? true } },
      ...(options.token && { auth: { token: options.token } }),
      ...(htpasswd && { auth: { htpasswd: { realm: "a test's registry", path: users } } }),
      http: {
        addr: registry.host,
        // Else one that is started again knows nothing of the uploads that were under way.
        secret: "of a test",
        ...(certificates && {
          tls: {
            certificate: certificates.server.certificate,
            key: certificates.server.key,
            ...(tls === "client" && { clientcas: [certificates.ca] }),
          },
        }),
      },
    }),
  );
  return path;
}

function serve(workspace: Workspace, directory: string, config: string): Bun.Subprocess {
  const child = Bun.spawn(workspace.inNetwork(["docker-registry", "serve", config]), {
    stdin: "ignore",
    stdout: openSync(join(directory, "accesses"), "a"),
    stderr: openSync(join(directory, "log"), "a"),
  });
  workspace.onClose("registry", async () => {
    child.kill();
    await child.exited;
  });
  return child;
}

async function answers(workspace: Workspace, registry: Registry): Promise<boolean> {
  const { certificates } = registry;
  const { client } = certificates ?? {};
  const tls = certificates ? ["--cacert", certificates.ca, "--cert", client!.certificate, "--key", client!.key] : [];
  const argv = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", ...tls, `${registry.url}/v2/`];
  const { stdout } = await command(workspace.inNetwork(argv));
  return stdout === "200" || stdout === "401";
}
