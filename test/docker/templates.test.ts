/** tsd's command line and the unmodified docker client apply the same templates to the objects of one daemon, and print the same. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { type CommandResult, command } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { tsd } from "../harness/workspace.ts";
import { withoutInitiators } from "./both-clients.ts";
import {
  containerTemplates,
  diskTemplates,
  eventTemplates,
  imagesTemplates,
  imageTemplates,
  infoTemplates,
  mistakes,
  networkEventTemplates,
  networksTemplates,
  networkTemplates,
  psTemplates,
  rawContainerTemplates,
  tables,
  versionTemplates,
  volumesTemplates,
  volumeTemplates,
} from "./template-cases.ts";

let scene: DockerScene;
/** When the daemon had no events yet, and when it had those of the scene. */
let span: [since: string, until: string];

beforeAll(async () => {
  scene = await DockerScene.open(["--gc=off"]);
  // By this name tsd speaks of itself as docker does.
  symlinkSync(tsd, scene.workspace.path("docker"));
  const begin = Date.now();
  const labels = ["--label", "com.example.team-name=blue", "--label", "b=2"];
  await scene.ok("network", "create", "--subnet", "172.31.99.0/24", "--label", "team=red", "net");
  await scene.ok("volume", "create", "--label", "size=large", "data");
  // Of the same repository: docker prints several of those in no order.
  await scene.ok("tag", scene.image, `${scene.image}:v1`);
  const limits = ["--memory", "64m", "--ulimit", "nofile=100:200", "--pids-limit", "50", "--restart", "on-failure:3"];
  const health = ["--health-cmd", "true", "--health-interval", "90s", "--health-timeout", "1500ms"];
  const names = ["--hostname", "web", "--dns", "1.1.1.1", "--add-host", "a:1.2.3.4", "--annotation", "x=y"];
  const rights = [
    "--cap-add",
    "NET_ADMIN",
    "--cap-drop",
    "KILL",
    "--tmpfs",
    "/t:size=1m",
    "--sysctl",
    "net.ipv4.ip_forward=1",
  ];
  const environment = ["-e", "A=1", "-e", "B=two words", "-e", "C=3"];
  const places = ["-v", "data:/data", "-v", "/etc:/host:ro", "-p", "127.0.0.1:8099:80", "--network", "net"];
  const flags = [...labels, ...limits, ...health, ...names, ...rights, ...environment, ...places];
  await scene.ok("run", "-d", "--name", "web", "--stop-timeout", "1", ...flags, scene.image, "sleep", "1000");
  // Wide characters take two columns.
  await scene.ok(
    "create",
    "--name",
    "idle",
    "--label",
    "b=weit 日本語",
    scene.image,
    "echo",
    "日本語",
    "and a long rest",
  );
  span = [String(begin / 1000), String(Date.now() / 1000)];
}, 60_000);

afterAll(() => scene?.close());

async function both(args: string[]): Promise<[docker: CommandResult, tsd: CommandResult]> {
  // By the same variable as docker.
  const env = { ...scene.daemon.env, TSD_HOST: "" };
  const own = command([scene.workspace.path("docker"), ...args], { env });
  return Promise.all([scene.docker(args), own]);
}

/** Between two cases, behind each object, and before the first of its cases. */
const [between, behind] = ["\x1e", "\x1d"];

/** @returns what each of both prints of each template, an item an object. */
async function applied(words: string[], templates: string[]): Promise<[docker: string[][], tsd: string[][]]> {
  const format = `${templates.join(between)}${behind}`;
  const results = await both(words.map((word) => (word === "TEMPLATE" ? format : word)));
  return results.map(({ status, stdout, stderr }) => {
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const objects = stdout.split(behind).slice(0, -1);
    expect(objects.length).toBeGreaterThan(0);
    return templates.map((_, index) => objects.map((object) => object.split(between)[index]!));
  }) as [string[][], string[][]];
}

/**
 * A pointer inside a structure is printed as the address it happens to have in Go's heap. Who wanted what an event tells
 * is a field of tsd's alone, the last one.
 */
function comparable(printed: string[]): string[] {
  return printed.map((text) =>
    withoutInitiators(text)
      .replace(/\b0xc0[0-9a-f]{8}\b/g, "<pointer>")
      .replace(/(^\s*\{ {3}network .* \d{19}) <pointer>\}$/g, "$1}"),
  );
}

function describeTemplates(what: string, templates: string[], wordsOf: () => string[]): void {
  describe(what, () => {
    let printed: [docker: string[][], tsd: string[][]];
    beforeAll(async () => {
      printed = await applied(wordsOf(), templates);
    });
    test.each(templates.map((template, index) => ({ template, index })))("$template", ({ index }) => {
      const [docker, own] = printed.map((each) => comparable(each[index]!));
      expect(own).toEqual(docker!);
      expect(docker!.join("").trim()).not.toBe("");
    });
  });
}

describeTemplates("both print of a container", containerTemplates, () => ["inspect", "-f", "TEMPLATE", "web"]);
describeTemplates("both print of a container's JSON", rawContainerTemplates, () => [
  "inspect",
  "-f",
  "TEMPLATE",
  "web",
]);
describeTemplates("both print of an image", imageTemplates, () => ["image", "inspect", "-f", "TEMPLATE", scene.image]);
describeTemplates("both print of a network", networkTemplates, () => ["network", "inspect", "-f", "TEMPLATE", "net"]);
describeTemplates("both print of a volume", volumeTemplates, () => ["volume", "inspect", "-f", "TEMPLATE", "data"]);
describeTemplates("both print of the daemon", infoTemplates, () => ["info", "-f", "TEMPLATE"]);
describeTemplates("both print of the versions", versionTemplates, () => ["version", "-f", "TEMPLATE"]);
describeTemplates("both print of the events", eventTemplates, () => {
  return ["events", "--since", span[0], "--until", span[1], "--format", "TEMPLATE"];
});
describeTemplates("both print of the networks' events", networkEventTemplates, () => {
  return ["events", "--since", span[0], "--until", span[1], "--filter", "type=network", "--format", "TEMPLATE"];
});
describeTemplates("both print in lists of containers", psTemplates, () => ["ps", "-a", "--format", "TEMPLATE"]);
describeTemplates("both print in lists of images", imagesTemplates, () => ["images", "--format", "TEMPLATE"]);
describeTemplates("both print in lists of networks", networksTemplates, () => [
  "network",
  "ls",
  "--format",
  "TEMPLATE",
]);
describeTemplates("both print in lists of volumes", volumesTemplates, () => ["volume", "ls", "--format", "TEMPLATE"]);
describeTemplates("both print of what is on the disk", diskTemplates, () => ["system", "df", "--format", "TEMPLATE"]);

/** How long ago something was may be another second by then, and as wide as it is. */
function withoutAges(text: string): string {
  if (!/\bago\b|^status: Up /m.test(text)) return text;
  const age = /(?:Up )?(?:Less than a second|About a minute|\d+ (?:seconds?|minutes?))(?: ago| \(health: starting\))?/g;
  return text.replace(age, "<age>").replace(/ +/g, " ");
}

describe("both print alike", () => {
  test.each(tables.map((args) => ({ args })))("$args", async ({ args }) => {
    const [docker, own] = await both(args);
    expect({ status: own.status, stdout: withoutAges(own.stdout) }).toEqual({
      status: docker.status,
      stdout: withoutAges(docker.stdout),
    });
    expect(own.stdout).not.toBe("");
    expect(own.stderr.toLowerCase()).toBe(docker.stderr.toLowerCase());
  });
});

describe("both refuse alike", () => {
  test.each(mistakes.map((args) => ({ args })))("$args", async ({ args }) => {
    const [docker, own] = await both(args);
    expect(own).toEqual(docker);
    expect(own.status).not.toBe(0);
  });
});

describe("both print lists as the user's config.json says", () => {
  const formats = {
    psFormat: "table {{.Names}}\\t{{.State}}",
    imagesFormat: "{{.Tag}} of {{.Repository}}",
    networksFormat: "table {{.Name}}\\t{{.Scope}}",
    volumesFormat: "{{.Name}}: {{.Driver}}",
  };
  let file: string;
  beforeAll(async () => {
    const directory = scene.daemon.env.DOCKER_CONFIG!;
    mkdirSync(directory, { recursive: true });
    file = join(directory, "config.json");
    await Bun.write(file, JSON.stringify(formats));
  });
  afterAll(() => rmSync(file));
  const lists = [["ps", "-a"], ["images"], ["network", "ls"], ["volume", "ls"], ["ps", "-aq"], ["network", "ls", "-q"]];
  test.each(lists.map((args) => ({ args })))("$args", async ({ args }) => {
    const [docker, own] = await both(args);
    expect(own).toEqual(docker);
    expect(own).toMatchObject({ status: 0, stderr: "" });
  });
});
