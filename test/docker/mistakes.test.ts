/** Usual mistakes: docker's client shows docker's words for them, and tsd the same with a line of advice. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type CommandResult, command } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { tsd } from "../harness/workspace.ts";

let scene: DockerScene;
beforeAll(async () => {
  scene = await DockerScene.open();
  await scene.ok("network", "create", "net");
  const flags = ["--network", "net", "-v", "vol:/v"];
  await Promise.all([
    scene.ok("run", "-d", "--name", "up", ...flags, scene.image, "sleep", "1000"),
    scene.ok("create", "--name", "made", scene.image, "true"),
  ]);
}, 60_000);
afterAll(async () => {
  await scene?.docker(["rm", "-f", "up"]);
  await scene?.close();
});

interface Mistake {
  /** IMAGE is one that is here. */
  words: string;
  /** What both say, behind "Error response from daemon: ". */
  cause: string;
  advice?: string;
  status: number;
}

const containers = "`tsd ps -a` lists the containers that there are";
const images = "`tsd images` lists the images that are here, and `tsd pull NAME` fetches one";
const networks = "`tsd network ls` lists the networks that there are, and `tsd network create NAME` makes one";
const restart = "`tsd start made` starts it, and `tsd logs made` tells why it ended";
const unexecutable = "see that it is a file with permission to be executed, and for this machine's processor";
const user = "name one that the image has, or a number";
const shell = "see that the image has it, and that a command of the shell's is given as `sh -c 'COMMAND'`";

/** Ids are written ID, processes PID. */
const mistakes: Mistake[] = [
  {
    words: "run UPPER:Tag",
    cause: "invalid reference format: repository name (library/UPPER) must be lowercase",
    advice: "write it in lower case: upper:Tag",
    status: 125,
  },
  {
    words: "run 127.0.0.1:5555/nobody",
    cause: 'Get "http://127.0.0.1:5555/v2/nobody/manifests/latest": connect: connection refused',
    advice: "see that the address is right and that the registry runs there",
    status: 125,
  },
  {
    words: "run --rm --name mm IMAGE nosuch",
    cause: 'start container mm: exec: "nosuch": executable file not found in $PATH',
    advice: shell,
    status: 127,
  },
  {
    words: "run --rm --name mm IMAGE /no/such",
    cause: 'start container mm: exec: "/no/such": stat /no/such: no such file or directory',
    advice: "see that the image has it, and for a script the interpreter of its first line too",
    status: 127,
  },
  {
    words: "run --rm --name mm IMAGE /etc",
    cause: 'start container mm: exec: "/etc": permission denied',
    advice: unexecutable,
    status: 126,
  },
  {
    words: "run --name up IMAGE",
    cause:
      'Conflict. The container name "/up" is already in use by container "ID". ' +
      "You have to remove (or rename) that container to be able to reuse that name.",
    advice: "remove that one with `tsd rm -f up`, or choose another name",
    status: 125,
  },
  {
    words: "run --rm --name mm -p 127.0.0.1:5000:80 IMAGE true",
    cause:
      "start container mm: network of container ID: failed to bind host port 127.0.0.1:5000/tcp: " +
      "address already in use by docker-registry (pid PID)",
    advice: "choose another host port, or stop that program",
    status: 125,
  },
  {
    words: "run --mount type=bind,src=/no/such,dst=/a IMAGE",
    cause: 'invalid mount config for type "bind": bind source path does not exist: /no/such',
    advice: "make it first, or use -v, which makes a directory that is missing",
    status: 125,
  },
  {
    words: "run -m 1m IMAGE",
    cause: "Minimum memory limit allowed is 6MB",
    advice: "give at least --memory 6m",
    status: 125,
  },
  {
    words: "run -m 100m --memory-swap 50m IMAGE",
    cause: "Minimum memoryswap limit should be larger than memory limit, see usage",
    advice: "--memory-swap is for memory and swap together: give at least as much as --memory, or -1 for no limit",
    status: 125,
  },
  { words: "run --network nosuch IMAGE", cause: "network nosuch not found", advice: networks, status: 125 },
  {
    words: "run --ip 10.0.0.9 IMAGE",
    cause:
      "invalid config for network default: invalid endpoint settings:\n" +
      "user specified IP address is supported on user defined networks only",
    advice: "make a network with `tsd network create --subnet SUBNET NAME`, and use --network NAME",
    status: 125,
  },
  {
    words: "run --rm --name mm --user nosuch IMAGE",
    cause: "start container mm: unable to find user nosuch: no matching entries in passwd file",
    advice: user,
    status: 125,
  },
  {
    words: "run --cap-add NOSUCH IMAGE",
    cause: 'invalid CapAdd: unknown capability: "CAP_NOSUCH"',
    advice: "capabilities(7) lists them: NET_ADMIN, SYS_PTRACE, …",
    status: 125,
  },
  {
    words: "run --runtime nosuch IMAGE",
    cause: "unknown or invalid runtime name: nosuch",
    advice: "tell the daemon where it is: `tsd daemon --add-runtime NAME=PATH`",
    status: 125,
  },
  {
    words: "run --rm --name mm -v /etc/passwd:/etc IMAGE",
    cause:
      "start container mm: mounts[N]: move_mount /etc/passwd on /etc: EINVAL (invalid argument): Are you trying to " +
      "mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type",
    status: 125,
  },
  { words: "run --volumes-from nosuch IMAGE", cause: "No such container: nosuch", advice: containers, status: 125 },
  { words: "exec nosuch true", cause: "No such container: nosuch", advice: containers, status: 1 },
  { words: "exec made true", cause: "container ID is not running", advice: restart, status: 1 },
  { words: "kill made", cause: "cannot kill container: made: container ID is not running", advice: restart, status: 1 },
  {
    words: "rm up",
    cause: 'cannot remove container "up": container is running: stop the container before removing or force remove',
    advice: "end it first with `tsd stop up`, or remove it with `tsd rm -f up`",
    status: 1,
  },
  {
    words: "rmi IMAGE",
    cause:
      "conflict: unable to delete 127.0.0.1:5000/busybox:latest (must be forced) - " +
      "container ID is using its referenced image ID",
    advice: "remove what uses it first, or take the name away with `tsd rmi -f`",
    status: 1,
  },
  { words: "rmi nosuch", cause: "No such image: nosuch:latest", advice: images, status: 1 },
  { words: "tag nosuch a", cause: "No such image: nosuch:latest", advice: images, status: 1 },
  {
    words: "push 127.0.0.1:5000/nosuch",
    cause: "tag does not exist: 127.0.0.1:5000/nosuch:latest",
    advice: images,
    status: 1,
  },
  {
    words: "pull 127.0.0.1:5000/busybox:nosuch",
    cause: "manifest for 127.0.0.1:5000/busybox:nosuch not found: manifest unknown: manifest unknown",
    advice: "see that the name and the tag are right",
    status: 1,
  },
  {
    words: "network create net",
    cause: "network with name net already exists",
    advice: "choose another name, or remove that one with `tsd network rm net`",
    status: 1,
  },
  {
    words: "network rm net",
    cause: 'error while removing network: network net id ID has active endpoints (name:"up" id:"ID")',
    advice: "remove those containers, or `tsd network disconnect net CONTAINER`",
    status: 1,
  },
  { words: "network connect nosuch up", cause: "network nosuch not found", advice: networks, status: 1 },
  {
    words: "volume rm vol",
    cause: "remove vol: volume is in use - [ID]",
    advice: "remove those containers first: `tsd rm -f CONTAINER`",
    status: 1,
  },
  {
    words: "volume inspect nosuch",
    cause: "get nosuch: no such volume",
    advice: "`tsd volume ls` lists the volumes that there are",
    status: 1,
  },
];

/** Without what differs from run to run. */
function steady(text: string): string {
  return text
    .replace(/\b([0-9a-f]{64}|[0-9a-f]{12})\b/g, "ID")
    .replace(/pid \d+/, "pid PID")
    .replace(/mounts\[\d+\]/, "mounts[N]")
    .replace(/^Unable to find image '.*' locally\n/, "");
}

/** Of what docker says: without its own name, and without what it says below. */
function causeIn(stderr: string): string {
  const [said = ""] = steady(stderr).split(/\n\n|\nexit status 1\n|\n$/);
  return said.replace(/^(docker: )?Error response from daemon: |^docker: /, "");
}

const own = (args: string[], options = {}): Promise<CommandResult> =>
  command([tsd, ...args], { env: scene.daemon.env, ...options });

test.each(mistakes.map((mistake) => [mistake.words, mistake] as const))("%s", async (words, mistake) => {
  const { cause, advice, status } = mistake;
  const args = words.split(" ").map((word) => (word === "IMAGE" ? scene.image : word));
  const docker = await scene.docker(args);
  expect([docker.status, causeIn(docker.stderr)]).toEqual([status, cause]);
  const { stderr, ...ended } = await own(args);
  const prefix = args[0] === "run" ? "tsd: " : "";
  expect([ended.status, steady(stderr)]).toEqual([
    status,
    `${prefix}Error response from daemon: ${cause}\n${advice === undefined ? "" : `hint: ${advice}\n`}`,
  ]);
});

test("an exec that cannot start ends with docker's status and the reason", async () => {
  for (const [args, status, cause, advice] of [
    [["exec", "up", "nosuch"], 127, 'exec: "nosuch": executable file not found in $PATH', shell],
    [["exec", "up", "/etc"], 126, 'exec: "/etc": permission denied', unexecutable],
    [
      ["exec", "-u", "nosuch", "up", "true"],
      126,
      "unable to find user nosuch: no matching entries in passwd file",
      user,
    ],
  ] as const) {
    // As docker's daemon does, its words are the output of what did not run.
    const docker = await scene.docker([...args]);
    expect([docker.status, docker.stdout]).toEqual([status, `${cause}\r\n`]);
    const ours = await own([...args]);
    expect([ours.status, ours.stderr]).toEqual([status, `Error response from daemon: ${cause}\nhint: ${advice}\n`]);
  }
});

test("a pipe is no terminal", async () => {
  const docker = await scene.docker(["run", "-it", scene.image]);
  expect([docker.status, docker.stderr]).toEqual([1, "the input device is not a TTY\n"]);
  const ours = await own(["run", "-it", scene.image]);
  expect([ours.status, ours.stderr]).toEqual([
    1,
    "the input device is not a TTY\nhint: leave out -t when the input is a pipe or a file\n",
  ]);
});

test("who reaches no daemon is told why, and what to do", async () => {
  const sayings: [args: string[], env: Record<string, string>, stderr: string][] = [
    [
      ["-H", "unix:///no/such.sock", "ps"],
      {},
      "cannot connect to the tsd daemon at unix:///no/such.sock. Is the tsd daemon running?\n" +
        "hint: start it with `systemctl start tsd`, or as root with `tsd daemon`\n",
    ],
    [
      ["ps"],
      { DOCKER_HOST: "tcp://127.0.0.1:1", TSD_HOST: "" },
      "cannot connect to the tsd daemon at tcp://127.0.0.1:1. Is the tsd daemon running?\n" +
        "hint: see that the address (-H, DOCKER_HOST, the context) is right and a daemon listens there\n",
    ],
    [
      ["ps"],
      { DOCKER_HOST: "/run/docker.sock", TSD_HOST: "" },
      "unable to parse docker host `/run/docker.sock`\nhint: use unix:///run/docker.sock\n",
    ],
  ];
  for (const [args, env, stderr] of sayings) {
    expect(await own(args, { env: { ...scene.daemon.env, ...env } })).toMatchObject({ status: 1, stderr });
  }
  const away = ["-H", "unix:///no/such.sock", "info"];
  const [theirs, ours] = [await scene.docker(away), await own(away)];
  // The client's part is shown all the same.
  for (const { status, stdout } of [theirs, ours]) {
    expect([status, stdout]).toEqual([
      1,
      expect.stringMatching(/^Client:[\s\S]*\n Debug Mode: false\n([\s\S]*\n)?\nServer:\n$/),
    ]);
  }
  expect(ours.stderr).toContain("cannot connect to the tsd daemon at unix:///no/such.sock.");
  const stranger = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", tsd, "ps"];
  const { status, stderr } = await command(stranger, { env: scene.daemon.env });
  expect([status, stderr]).toEqual([
    1,
    `permission denied while trying to connect to the tsd daemon at unix://${scene.daemon.socket}\n` +
      "hint: be root, or a member of the group that owns the socket\n",
  ]);
});
