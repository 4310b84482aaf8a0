// What the documentation of testcontainers for Node shows, against the daemon of DOCKER_HOST, with the reaper that
// RYUK_CONTAINER_IMAGE names. What the last test leaves running is for the reaper.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import test, { after } from "node:test";
import { GenericContainer, getContainerRuntimeClient, Network, PullPolicy, Wait } from "testcontainers";

const image = process.env.IMAGE;
// Testcontainers keeps no process alive by a log that it follows.
const alive = setInterval(() => undefined, 1000);
after(() => clearInterval(alive));
const idle = () =>
  new GenericContainer(image).withCommand(["sleep", "600"]).withWaitStrategy(Wait.forSuccessfulCommand("true"));
const server = "mkdir -p /www && echo hello > /www/index.html && exec httpd -f -p 8080 -h /www";
const web = () => new GenericContainer(image).withCommand(["sh", "-c", server]).withExposedPorts(8080);
const out = async (container, ...command) => (await container.exec(command)).output;

test("a container with an exposed port, waited for by default: it listens", async () => {
  const container = await web().start();
  const answer = await fetch(`http://${container.getHost()}:${container.getMappedPort(8080)}/`);
  assert.equal(await answer.text(), "hello\n");
  assert.equal(container.getFirstMappedPort(), container.getMappedPort(8080));
  await container.stop();
});

test("wait strategies: a message of the log, HTTP, a command, one run to its end, several together", async () => {
  const strategies = [
    web().withWaitStrategy(
      Wait.forHttp("/index.html", 8080)
        .forStatusCode(200)
        .forResponsePredicate((body) => body === "hello\n"),
    ),
    idle()
      .withCommand(["sh", "-c", "for i in 1 2; do echo ready; done; sleep 600"])
      .withWaitStrategy(Wait.forLogMessage("ready", 2)),
    idle()
      .withCommand(["sh", "-c", "touch /there; sleep 600"])
      .withWaitStrategy(Wait.forSuccessfulCommand("test -f /there")),
    idle().withCommand(["sh", "-c", "exit 0"]).withWaitStrategy(Wait.forOneShotStartup()),
    web().withWaitStrategy(
      Wait.forAll([Wait.forListeningPorts(), Wait.forSuccessfulCommand("test -f /www/index.html")]),
    ),
  ];
  const containers = await Promise.all(strategies.map((container) => container.start()));
  await Promise.all(containers.map((container) => container.stop()));
});

test("a start that is waited for in vain fails in time, and says why", async () => {
  const never = idle().withWaitStrategy(Wait.forLogMessage("never")).withStartupTimeout(300);
  await assert.rejects(never.start(), /Log message "never" not received after 300ms/);
  const ended = idle().withCommand(["false"]).withWaitStrategy(Wait.forOneShotStartup());
  await assert.rejects(ended.start(), /Container failed to start for/);
  await assert.rejects(new GenericContainer(`${image}-absent:1`).start(), /404|not found/i);
});

test("environment, labels, user, directory, name, host name, hosts, tmpfs, limits, capabilities", async () => {
  const container = await idle()
    .withName("told")
    .withEnvironment({ ONE: "1", TWO: "2 and more" })
    .withLabels({ "my.label": "mine" })
    .withUser("1000:100")
    .withWorkingDir("/tmp")
    .withHostname("named")
    .withExtraHosts([{ host: "other", ipAddress: "10.11.12.13" }])
    .withTmpFs({ "/scratch": "rw,size=65536,mode=1777" })
    .withUlimits({ nofile: { hard: 512, soft: 256 } })
    .withResourcesQuota({ memory: 0.0625, cpu: 0.5 })
    .withSharedMemorySize(1 << 20)
    .withAddedCapabilities("NET_ADMIN")
    .withDroppedCapabilities("CHOWN")
    .withDefaultLogDriver()
    .start();
  assert.deepEqual(
    [container.getName(), container.getLabels()["my.label"], container.getHostname()],
    ["/told", "mine", "named"],
  );
  const script =
    "echo $ONE $TWO; id -u; id -g; pwd; hostname; grep -c other /etc/hosts; ulimit -Sn; ulimit -Hn; df -k /scratch /dev/shm | awk '{print $2}'";
  assert.equal(
    await out(container, "sh", "-c", script),
    "1 2 and more\n1000\n100\n/tmp\nnamed\n1\n256\n512\n1K-blocks\n64\n1024\n",
  );
  await container.stop();
});

test("exec: output of both streams, status, user, directory, environment", async () => {
  const container = await idle().start();
  const script = "echo $A; pwd; id -u; echo failed >&2; exit 5";
  const options = { workingDir: "/tmp", user: "1000", env: { A: "b" } };
  const { stdout, stderr, exitCode } = await container.exec(["sh", "-c", script], options);
  assert.deepEqual([stdout, stderr, exitCode], ["b\n/tmp\n1000\n", "failed\n", 5]);
  assert.equal((await container.exec("nothing-such")).exitCode, 127);
  await container.stop();
});

test("logs: as a stream, from a consumer, the last lines", async () => {
  const consumed = [];
  const container = await idle()
    .withCommand(["sh", "-c", "for word in one two three; do echo $word; done; sleep 600"])
    .withWaitStrategy(Wait.forLogMessage("three"))
    .withLogConsumer((stream) => stream.on("data", (line) => consumed.push(line)))
    .start();
  const stream = await container.logs({ tail: 1 });
  for await (const chunk of stream) {
    assert.equal(String(chunk), "three\n");
    break;
  }
  while (!consumed.join("").includes("three")) await new Promise(setImmediate);
  assert.equal(consumed.join(""), "one\ntwo\nthree\n");
  await container.stop();
});

test("files: to a container before and after its start, and from it", async () => {
  await writeFile("of-the-host.txt", "of the host");
  const container = await idle()
    .withCopyFilesToContainer([{ source: "of-the-host.txt", target: "/srv/file.txt", mode: 0o640 }])
    .withCopyContentToContainer([{ content: "content", target: "/srv/deep/er/content.txt" }])
    .start();
  await container.copyContentToContainer([{ content: "later", target: "/srv/later.txt" }]);
  await container.copyFilesToContainer([{ source: "of-the-host.txt", target: "/srv/file2.txt" }]);
  const files = ["file.txt", "deep/er/content.txt", "later.txt", "file2.txt"].map((name) => `/srv/${name}`);
  assert.equal(await out(container, "tail", "-n", "+1", "-q", ...files), "of the hostcontentlaterof the host");
  assert.equal(await out(container, "stat", "-c", "%a", "/srv/file.txt"), "640\n");
  const archive = await buffer(await container.copyArchiveFromContainer("/srv/later.txt"));
  assert.equal(archive.subarray(512, 517).toString(), "later");
  await container.stop();
});

test("networks: containers find each other by alias and are told of their addresses", async () => {
  const network = await new Network().start();
  const first = await web().withNetwork(network).withNetworkAliases("api", "backend").start();
  const second = await idle().withNetwork(network).start();
  assert.equal(await out(second, "wget", "-qO-", "http://api:8080/"), "hello\n");
  assert.equal(await out(second, "wget", "-qO-", "http://backend:8080/"), "hello\n");
  // Such a container is connected after it was made, so it is on the default network, too.
  assert.deepEqual(first.getNetworkNames().sort(), ["bridge", network.getName()].sort());
  const address = first.getIpAddress(network.getName());
  assert.equal(first.getNetworkId(network.getName()), network.getId());
  assert.equal(await out(second, "wget", "-qO-", `http://${address}:8080/`), "hello\n");
  for (const one of [first, second, network]) await one.stop();
});

test("binds, host ports, platforms, pulls, and the runtime's client", async () => {
  const client = await getContainerRuntimeClient();
  assert.deepEqual(
    [client.info.containerRuntime.operatingSystemType, client.info.containerRuntime.host],
    ["linux", "localhost"],
  );
  const container = await idle()
    .withExposedPorts({ container: 8080, host: 18080 }, "8081/udp")
    .withBindMounts([{ source: process.cwd(), target: "/host", mode: "ro" }])
    .withPlatform("linux/amd64")
    .withPullPolicy(PullPolicy.alwaysPull())
    .start();
  assert.equal(container.getMappedPort(8080), 18080);
  assert.ok(container.getMappedPort(8081, "udp") > 0);
  assert.match(await out(container, "ls", "/host"), /testcontainers\.mjs/);
  assert.equal((await container.exec(["touch", "/host/new"])).exitCode, 1);
  await container.stop();
});

test("stopping without removing, committing, and reuse", async () => {
  const container = await idle().withAutoRemove(false).start();
  await container.exec(["touch", "/committed"]);
  const committed = await container.commit({ repo: "tc", tag: "committed", deleteOnExit: true });
  assert.match(committed, /^sha256:/);
  const other = await new GenericContainer("tc:committed")
    .withCommand(["sleep", "600"])
    .withWaitStrategy(Wait.forSuccessfulCommand("test -f /committed"))
    .start();
  assert.notEqual(other.getId(), container.getId());
  await other.stop();
  const stopped = await container.stop({ remove: false });
  const files = await buffer(await stopped.copyArchiveFromContainer("/committed"));
  assert.ok(files.includes("\0committed\0"));
  const reused = () => idle().withLabels({ of: "reuse" }).withReuse().start();
  const [one, two] = [await reused(), await reused()];
  assert.equal(one.getId(), two.getId());
  await one.stop();
});

test("what is left when the session ends", async () => {
  const network = await new Network().start();
  await idle().withName("left").withNetwork(network).start();
  await idle()
    .withName("left-stopped")
    .withAutoRemove(false)
    .start()
    .then((container) => container.stop());
});
