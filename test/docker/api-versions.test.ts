/** Clients of old and new versions of the Engine API: the docker client as each of three, and requests as they come. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { succeed } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";

let scene: DockerScene;
beforeAll(async () => {
  scene = await DockerScene.open();
});
afterAll(() => scene.close());

interface Answer {
  status: number;
  headers: Headers;
  json: Record<string, unknown>;
}

async function request(path: string, method = "GET", body?: object): Promise<Answer> {
  const response = await fetch(`http://docker${path}`, {
    method,
    unix: scene.daemon.socket,
    ...(body && { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
  });
  const text = await response.text();
  const json = text.startsWith("{") || text.startsWith("[") ? JSON.parse(text) : {};
  return { status: response.status, headers: response.headers, json };
}

describe.each(["1.24", "1.40", "1.50"])("the docker client that speaks %s", (version) => {
  const asked = { DOCKER_API_VERSION: version };
  const docker = (...args: string[]) => succeed(scene.argv(...args), { env: { ...scene.daemon.env, ...asked } });
  /** The names of both are left over from no other version. */
  const [one, two] = [`one-${version}`, `two-${version}`];

  test("runs with input, exit status and removal, and executes", async () => {
    const script = ["sh", "-c", "cat; echo error >&2; exit 3"];
    const run = await scene.docker(["run", "-i", "--rm", scene.image, ...script], { env: asked, stdin: "input\n" });
    expect([run.status, run.stdout, run.stderr]).toEqual([3, "input\n", "error\n"]);
    await docker(
      "run",
      "-d",
      "--name",
      one,
      "-p",
      "8080",
      "-v",
      `${one}:/data`,
      scene.image,
      "sh",
      "-c",
      "echo up; sleep 600",
    );
    expect(await docker("ps", "--format", "{{.Names}} {{.State}}")).toBe(`${one} running`);
    expect(await docker("ps", "--format", "{{.Ports}}")).toMatch(/^0\.0\.0\.0:\d+->8080\/tcp, \[::\]:\d+->8080\/tcp$/);
    expect(await docker("exec", one, "echo", "executed")).toBe("executed");
    expect((await scene.docker(["exec", one, "nothing-such"], { env: asked })).status).toBe(127);
    expect(await docker("logs", one)).toBe("up");
  });

  test("copies, watches, renames, updates, pauses, restarts and stops", async () => {
    const file = scene.workspace.path("copied");
    await Bun.write(file, "copied");
    await docker("cp", file, `${one}:/tmp/file`);
    expect(await docker("exec", one, "cat", "/tmp/file")).toBe("copied");
    expect(await docker("top", one, "-eo", "pid,args")).toMatch(/^PID +COMMAND\n\d+ +sleep 600$/);
    expect(await docker("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", one)).toBe(`${one} 1`);
    await docker("rename", one, two);
    expect(await docker("update", "--memory", "64m", "--memory-swap", "64m", two)).toBe(two);
    await docker("pause", two);
    expect(await docker("inspect", "-f", "{{.State.Status}} {{.HostConfig.Memory}}", two)).toBe("paused 67108864");
    await docker("unpause", two);
    expect(await docker("restart", "-t", "0", two)).toBe(two);
    expect([await docker("stop", "-t", "0", two), await docker("wait", two)]).toEqual([two, "137"]);
    expect(await docker("commit", two, `image:${version}`)).toMatch(/^sha256:/);
    expect(await docker("rmi", `image:${version}`)).toContain(`Untagged: image:${version}\nDeleted: sha256:`);
  });

  test("has networks and volumes", async () => {
    await docker("network", "create", "net");
    await docker(
      "run",
      "-d",
      "--network",
      "net",
      "--network-alias",
      "alias",
      "--name",
      one,
      scene.image,
      "sleep",
      "600",
    );
    // The short id was an alias until 1.44.
    const aliases = await docker("inspect", "-f", "{{range .NetworkSettings.Networks.net.Aliases}}{{.}} {{end}}", one);
    expect(aliases).toMatch(version === "1.50" ? /^alias $/ : /^alias [0-9a-f]{12} $/);
    expect(await docker("run", "--rm", "--network", "net", scene.image, "nslookup", "alias.")).toContain(
      "Name:\talias",
    );
    expect(await docker("rm", "-f", one, two)).toBe(`${one}\n${two}`);
    expect(await docker("network", "rm", "net")).toBe("net");
    expect(await docker("volume", "rm", one)).toBe(one);
  });
});

describe("a request", () => {
  test("of 1.24 to 1.55, and of none, is served and told of the newest", async () => {
    for (const prefix of ["/v1.24", "/v1.40", "/v1.55", ""]) {
      const { status, headers, json } = await request(`${prefix}/version`);
      expect([status, headers.get("api-version"), json.ApiVersion, json.MinAPIVersion]).toEqual([
        200,
        "1.55",
        "1.55",
        "1.24",
      ]);
    }
  });

  test.each([
    ["1.99", "client version 1.99 is too new. Maximum supported API version is 1.55"],
    ["1.56", "client version 1.56 is too new. Maximum supported API version is 1.55"],
    ["2.0", "client version 2.0 is too new. Maximum supported API version is 1.55"],
    [
      "1.23",
      "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version",
    ],
  ])("of %s is refused with 400 in Docker's words, on every route", async (version, message) => {
    for (const [method, path] of [
      ["GET", "/_ping"],
      ["GET", "/containers/json"],
      ["POST", "/containers/create"],
      ["GET", "/no/such/route"],
    ] as const) {
      const { status, headers, json } = await request(`/v${version}${path}`, method);
      expect([status, json.message, headers.get("api-version")], path).toEqual([400, message, "1.55"]);
    }
    const env = { DOCKER_API_VERSION: version };
    const client = await scene.docker(["ps"], { env });
    expect([client.status, client.stderr]).toEqual([1, `Error response from daemon: ${message}\n`]);
  });

  test("is answered as its version had it", async () => {
    const create = { Image: scene.image, Cmd: ["sleep", "600"], ExposedPorts: { "80/tcp": {} } };
    const { json: made } = await request("/v1.55/containers/create?name=of-versions", "POST", create);
    expect((await request(`/v1.55/containers/${made.Id}/start`, "POST")).status).toBe(204);
    const [old, middle, newest] = await Promise.all(
      ["1.24", "1.44", "1.55"].map(async (version) => {
        const at = async (path: string) => (await request(`/v${version}${path}`)).json as Record<string, object>;
        const container = await at("/containers/of-versions/json");
        const [listed] = (await at("/containers/json")) as unknown as Record<string, object>[];
        const image = await at(`/images/${scene.image}/json`);
        return { container, listed: listed!, image };
      }),
    );
    const keys = (value: object) => Object.keys(value);
    expect(keys(old!.container.NetworkSettings!)).toContain("IPAddress");
    expect(keys(middle!.container.NetworkSettings!)).toContain("SecondaryIPAddresses");
    expect(keys(newest!.container.NetworkSettings!)).not.toContain("IPAddress");
    expect([keys(old!.image).includes("VirtualSize"), keys(newest!.image).includes("VirtualSize")]).toEqual([
      true,
      false,
    ]);
    expect([keys(old!.image).includes("ContainerConfig"), keys(newest!.image).includes("ContainerConfig")]).toEqual([
      true,
      false,
    ]);
    expect([keys(old!.container).includes("ImageManifestDescriptor"), keys(newest!.listed).includes("Health")]).toEqual(
      [false, true],
    );
    // The same container, whoever asks.
    expect(new Set([old, middle, newest].map((each) => each!.container.Id)).size).toBe(1);
    await succeed(scene.argv("rm", "-f", "of-versions"), { env: scene.daemon.env });
  });

  test("of an old version keeps what was the default, and gets what has gone since", async () => {
    const ipcMode = async (version: string) => {
      const { json } = await request(`/v${version}/containers/create`, "POST", { Image: scene.image });
      const { json: inspected } = await request(`/v1.55/containers/${json.Id}/json`);
      await request(`/v1.55/containers/${json.Id}`, "DELETE");
      return (inspected.HostConfig as { IpcMode: string }).IpcMode;
    };
    expect([await ipcMode("1.39"), await ipcMode("1.40")]).toEqual(["shareable", "private"]);
    const address = { Image: scene.image, MacAddress: "02:42:ac:11:00:99" };
    const { json } = await request("/v1.43/containers/create", "POST", address);
    expect((await request(`/v1.43/containers/${json.Id}/json`)).json).toMatchObject({
      Config: { MacAddress: address.MacAddress },
    });
    await request(`/v1.43/containers/${json.Id}`, "DELETE");
    expect((await request("/v1.55/containers/create", "POST", address)).status).toBe(400);
  });
});
