/** Registries that want to know who asks: TLS under a private authority, client certificates, passwords and tokens. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pinnedBun } from "../../build/pinned.ts";
import { makeCertificates } from "../harness/certificates.ts";
import { command, succeed, until } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { type Registry, startRegistry } from "../harness/registry.ts";
import { TerminalSession } from "../harness/terminal.ts";
import { tsd, Workspace } from "../harness/workspace.ts";
import { tokenIssuer, tokenService } from "./token-server.ts";

/** Not of this machine: certificates are verified, and plain HTTP is not spoken. */
const address = "10.99.7.1";
let workspace: Workspace;
let daemon: Daemon;
/** Plain, and without a password. */
let open: Registry;
/** HTTPS, with a client's certificate and a password. */
let closed: Registry;

beforeAll(async () => {
  workspace = await Workspace.open();
  open = await startRegistry(workspace);
  const htpasswd = { user: "me", password: "secret" };
  closed = await startRegistry(workspace, { port: 5443, address, tls: "client", htpasswd });
  mkdirSync(workspace.path("certs.d"));
  // A proxy that is not there: what is said not to need it is reached all the same.
  const env = { HTTPS_PROXY: "http://user:word@127.0.0.1:1", NO_PROXY: `${address}/32` };
  daemon = await Daemon.start(workspace, { flags: ["--certs-dir", workspace.path("certs.d")], env });
  await daemon.ok("pull", "-q", await open.push("busybox"));
}, 60_000);

afterAll(() => workspace?.[Symbol.asyncDispose]());

async function refused(...args: string[]): Promise<string> {
  const { status, stderr } = await daemon.tsd(args);
  expect(status).toBe(1);
  return stderr
    .replace(/^hint: .*\n/gm, "")
    .trim()
    .replace(/^Error response from daemon: /, "");
}

function directory(host: string): string {
  return workspace.path("certs.d", host);
}

describe("a registry with TLS, client certificates and passwords", () => {
  const image = () => `${closed.host}/private/busybox:1`;
  const source = () => `${open.host}/busybox:latest`;

  test("is refused while nobody knows its authority, and while it does not know the client", async () => {
    await daemon.ok("tag", source(), image());
    expect(await refused("pull", image())).toStartWith(
      `Get "https://${closed.host}/v2/private/busybox/manifests/1": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
    );
    mkdirSync(directory(closed.host));
    cpSync(join(closed.certificateDirectory!, "ca.crt"), join(directory(closed.host), "ca.crt"));
    expect(await refused("pull", image())).toMatch(/^Get "https:\/\/10\.99\.7\.1:5443\/v2\/\S+: /);
  });

  test("is refused with half a certificate, by the name of the other half", async () => {
    cpSync(join(closed.certificateDirectory!, "client.cert"), join(directory(closed.host), "client.cert"));
    expect(await refused("pull", image())).toContain(`missing key ${join(directory(closed.host), "client.key")}`);
  });

  test("is pushed to after a login, and not before", async () => {
    cpSync(closed.certificateDirectory!, directory(closed.host), { recursive: true });
    expect(await refused("push", image())).toEndWith(": no basic auth credentials");
    const wrong = await daemon.tsd(["login", "-u", "me", "--password-stdin", closed.host], { stdin: "wrong\n" });
    expect([wrong.status, wrong.stderr]).toEqual([
      1,
      `Error response from daemon: Get "https://${closed.host}/v2/": unauthorized: incorrect username or password\n`,
    ]);
    const { status, stdout, stderr } = await daemon.tsd(["login", "-u", "me", "--password-stdin", closed.host], {
      stdin: "secret\n",
    });
    expect([status, stdout]).toEqual([0, "Login Succeeded\n"]);
    const config = workspace.path("docker-config", "config.json");
    expect(stderr).toContain(`WARNING! Your credentials are stored unencrypted in '${config}'.`);
    expect(JSON.parse(readFileSync(config, "utf8"))).toEqual({ auths: { [closed.host]: { auth: btoa("me:secret") } } });
    expect(await daemon.ok("push", image())).toContain(": Pushed");
    const flags = closed.skopeoFlags("");
    const digest = await succeed(
      workspace.inNetwork(["skopeo", "inspect", "-f", "{{.Digest}}", ...flags, `docker://${image()}`]),
    );
    expect(digest).toBe(await daemon.ok("images", "--digests", "--format", "{{.Digest}}", source()));
  });

  test("is pulled from, run from, created from and bundled from by who is logged in", async () => {
    for (const args of [
      ["pull", "-q"],
      ["run", "--rm", "-q", "--network", "none"],
      ["create", "-q"],
      ["bundle", "-q"],
    ]) {
      await daemon.ok("rmi", "-f", image());
      const after = { pull: [], bundle: [workspace.path("bundle")] }[args[0]!] ?? ["true"];
      await daemon.ok(...args, image(), ...after);
    }
    await daemon.ok("rm", ...(await daemon.ok("ps", "-aq")).split("\n"));
  });

  test("is used by docker's command line with the same login", async () => {
    expect((await daemon.docker(["push", "-q", image()])).stdout.trim()).toBe(image());
    expect((await daemon.docker(["login", closed.host])).stdout).toContain("Login Succeeded");
  });

  test("is left by logout", async () => {
    expect(await daemon.ok("logout", closed.host)).toBe(`Removing login credentials for ${closed.host}`);
    expect(await refused("push", image())).toEndWith(": no basic auth credentials");
    expect(await daemon.tsd(["logout", closed.host])).toMatchObject({
      status: 0,
      stderr: `Not logged in to ${closed.host}\n`,
    });
  });

  test("is logged in to at a terminal, which does not show the password", async () => {
    await using session = new TerminalSession([tsd, "login", closed.host], { env: daemon.env });
    await session.expect("Username: ");
    session.type("me\r");
    await session.expect("Password: ");
    await until("the password is read unechoed", () => session.isRaw);
    session.type("secrex\x7ft\r");
    await session.expect("Login Succeeded");
    expect(await session.end()).toBe(0);
    expect(session.output).not.toContain("sec");
  });

  test("keeps its login where Ctrl-C ends the question for another", async () => {
    await using session = new TerminalSession([tsd, "login", "-u", "you", closed.host], { env: daemon.env });
    await session.expect("Password: ");
    await until("the password is read unechoed", () => session.isRaw);
    session.type("\x03");
    expect(await session.end()).toBe(1);
    expect(session.isRaw).toBe(false);
    expect(await daemon.ok("push", "-q", image())).toBe(image());
  });
});

describe("a login is refused", () => {
  test.each([
    [["-p", "x", "--password-stdin"], "conflicting options: cannot specify both --password and --password-stdin"],
    [["--password-stdin"], "the --password-stdin option requires --username to be set"],
    [["-u", ""], "username is empty"],
    [["-u", "me", "-p", ""], "password is empty"],
    [["-u", "me", "--password-stdin"], "password is empty"],
    [["-u", "me"], "Error: Cannot perform an interactive login from a non TTY device"],
  ])("with %j", async (args, message) => {
    expect((await refused("login", ...args, "127.0.0.1:5000")).split("\n")[0]).toBe(message);
  });

  test("where no registry is", async () => {
    const failed = await refused("login", "-u", "a", "-p", "b", "127.0.0.1:1");
    expect(failed).toContain('Get "http://127.0.0.1:1/v2/": connect: connection refused');
  });
});

describe("a proxy of the daemon's environment", () => {
  test("is gone through, and named when it is not there, without its password", async () => {
    const failed = await refused("pull", "registry.example/busybox");
    expect(failed).toContain('Get "https://registry.example/v2/busybox/manifests/latest": through proxy 127.0.0.1:1: ');
    expect(failed).not.toContain("word");
    const [proxy, none] = (await daemon.ok("info", "-f", "{{.HTTPSProxy}} {{.NoProxy}}")).split(" ");
    expect([proxy, none]).toEqual(["http://xxxxx:xxxxx@127.0.0.1:1", `${address}/32`]);
  });
});

describe("hosts.toml", () => {
  const write = (text: string) => {
    mkdirSync(directory("upstream.example"), { recursive: true });
    writeFileSync(join(directory("upstream.example"), "hosts.toml"), text);
  };

  test("names a mirror for any registry, which is asked in its place", async () => {
    write(`
      server = "http://127.0.0.1:1"
      [host."http://127.0.0.1:2"]
      dial_timeout = "1s"
      [host."http://${open.host}"]
      capabilities = ["pull", "resolve"]
    `);
    expect(await daemon.ok("pull", "upstream.example/busybox")).toContain("Status: ");
    expect((await open.accesses()).some((line) => line.includes("ns=upstream.example"))).toBe(true);
    // A mirror takes no pushes unless it is said to.
    expect(await refused("push", "upstream.example/busybox")).toMatch(
      /^Head "http:\/\/127\.0\.0\.1:1\/v2\/busybox\/manifests\//,
    );
  });

  test("takes pushes to where it says, with the path that it says", async () => {
    write(`
      [host."http://${open.host}/v2/pushed"]
      capabilities = ["push"]
      override_path = true
    `);
    await daemon.ok("push", "-q", "upstream.example/busybox");
    const { stdout } = await workspace.run(["curl", "-s", `${open.url}/v2/pushed/busybox/tags/list`]);
    expect(JSON.parse(stdout)).toEqual({ name: "pushed/busybox", tags: ["latest"] });
  });

  test("that is wrong is refused by its field", async () => {
    write('[host."http://127.0.0.1:5000"]\ncapabilities = ["fly"]');
    expect(await refused("pull", "upstream.example/other")).toBe(
      `${join(directory("upstream.example"), "hosts.toml")}: host."http://127.0.0.1:5000".capabilities: unknown capability "fly"`,
    );
    rmSync(directory("upstream.example"), { recursive: true });
  });
});

describe("a registry with a token server", () => {
  let registry: Registry;
  let server: string;
  const image = () => `${registry.host}/tokens/busybox:1`;
  const asked = () => readFileSync(join(server, "asked"), "utf8").trim().split("\n");
  const forget = () => writeFileSync(join(server, "asked"), "");

  beforeAll(async () => {
    server = workspace.path("token-server");
    mkdirSync(server);
    writeFileSync(join(server, "life"), "300");
    forget();
    const { ca, server: pair } = await makeCertificates(join(server, "certificates"), ["127.0.0.1"]);
    const script = join(import.meta.dir, "token-server.ts");
    const log = openSync(join(server, "log"), "w");
    const child = Bun.spawn(workspace.inNetwork([pinnedBun, script, "5200", server, pair.certificate, pair.key]), {
      stdin: "ignore",
      stdout: log,
      stderr: log,
    });
    workspace.onClose("token server", async () => {
      child.kill();
      await child.exited;
    });
    const realm = "http://127.0.0.1:5200/token";
    await until("the token server answers", async () => {
      if (child.exitCode !== null) throw new Error(readFileSync(join(server, "log"), "utf8"));
      return (await command(workspace.inNetwork(["curl", "-sf", realm]))).status === 0;
    });
    const token = { realm, service: tokenService, issuer: tokenIssuer, rootcertbundle: ca };
    registry = await startRegistry(workspace, { port: 5201, token });
    await daemon.ok("tag", `${open.host}/busybox:latest`, image());
  }, 60_000);

  test("lets nobody push who is not logged in", async () => {
    expect(await refused("push", image())).toMatch(
      /^push access denied for 127\.0\.0\.1:5201\/tokens\/busybox, repository does not exist or may require 'docker login': /,
    );
  });

  test("gives a token for the password at login, which is kept in its place and used", async () => {
    await succeed([tsd, "login", "-u", "writer", "--password-stdin", registry.host], {
      env: daemon.env,
      stdin: "secret",
    });
    const config = JSON.parse(readFileSync(workspace.path("docker-config", "config.json"), "utf8")) as {
      auths: Record<string, object>;
    };
    expect(config.auths[registry.host]).toEqual({ auth: btoa("writer:"), identitytoken: "identity of writer" });
    forget();
    expect(await daemon.ok("push", image())).toContain(": Pushed");
    expect(asked()).toEqual(["POST writer repository:tokens/busybox:pull,push"]);
    forget();
    await daemon.ok("push", image());
    expect(asked()).toEqual([""]); // the token is good for a while
  });

  test("asks for leave to pull where a blob is mounted from", async () => {
    forget();
    const copy = `${registry.host}/tokens/copy:1`;
    await daemon.ok("tag", image(), copy);
    expect(await daemon.ok("push", copy)).toContain(": Mounted from tokens/busybox");
    expect(asked()).toContain("POST writer repository:tokens/copy:pull,push repository:tokens/busybox:pull");
  });

  test("is pulled from by anybody", async () => {
    await daemon.ok("logout", registry.host);
    await daemon.ok("rmi", "-f", image());
    forget();
    await daemon.ok("pull", "-q", image());
    expect(asked()).toEqual(["GET anonymous repository:tokens/busybox:pull"]);
  });

  test("is asked again when a token ends earlier than it said", async () => {
    // The registry bears clocks that differ by a minute: for three more seconds.
    writeFileSync(join(server, "life"), "-57");
    await daemon.ok("tag", `${open.host}/busybox:latest`, `${registry.host}/tokens/short:1`);
    await succeed([tsd, "login", "-u", "writer", "--password-stdin", registry.host], {
      env: daemon.env,
      stdin: "secret",
    });
    await daemon.ok("push", `${registry.host}/tokens/short:1`);
    forget();
    await until(
      "the first token has ended",
      async () => {
        await daemon.ok("push", `${registry.host}/tokens/short:1`);
        return asked()[0] !== "";
      },
      60_000,
    );
    expect(asked()).toEqual(["POST writer repository:tokens/short:pull,push"]);
  });

  test("whose tokens have all ended is refused, and asked anew the next time", async () => {
    await daemon.ok("logout", registry.host);
    writeFileSync(join(server, "life"), "-100");
    expect(await refused("pull", `${registry.host}/tokens/stale:1`)).toMatch(
      /^pull access denied for 127\.0\.0\.1:5201\/tokens\/stale, .*: unauthorized: /,
    );
    writeFileSync(join(server, "life"), "300");
    expect(await refused("pull", `${registry.host}/tokens/stale:1`)).toMatch(/not found: manifest unknown/);
  });
});
