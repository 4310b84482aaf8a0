// What dockerode's README shows, and the calls that its reference lists, against the daemon of DOCKER_HOST.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { PassThrough, Readable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import test, { after } from "node:test";
import Docker from "dockerode";

const docker = new Docker(); // of DOCKER_HOST
const Image = process.env.IMAGE;
const labels = { suite: "dockerode" };

/** A container that does what the script says. */
const create = (script, options = {}) =>
  docker.createContainer({ Image, Cmd: ["sh", "-c", script], Labels: labels, ...options });

async function started(script, options) {
  const container = await create(script, options);
  await container.start();
  return container;
}

/** Both streams of what the daemon multiplexes, each as text. */
function demuxed(stream) {
  const [out, error] = [new PassThrough(), new PassThrough()];
  docker.modem.demuxStream(stream, out, error);
  stream.on("end", () => {
    out.end();
    error.end();
  });
  return Promise.all([text(out), text(error)]);
}

const progress = (stream) =>
  new Promise((resolve, reject) =>
    docker.modem.followProgress(stream, (error, output) => (error ? reject(error) : resolve(output))),
  );

/** The error of a call that is to be refused. */
const refusal = (call) =>
  call.then(
    () => assert.fail("not refused"),
    (error) => error,
  );

after(async () => {
  for (const { Id } of await docker.listContainers({ all: true })) {
    await docker.getContainer(Id).remove({ force: true, v: true });
  }
});

test("ping, version, info and df", async () => {
  assert.equal(String(await docker.ping()), "OK");
  const version = await docker.version();
  assert.match(version.ApiVersion, /^1\.\d+$/);
  const info = await docker.info();
  assert.equal(info.OSType, "linux");
  assert.equal(info.ServerVersion, version.Version);
  assert.ok(info.NCPU > 0 && info.MemTotal > 0);
  assert.ok((await docker.df()).ImageUsage.TotalCount > 0);
});

test("pull with progress, and the image's inspect, history, tag and remove", async () => {
  const output = await progress(await docker.pull(Image));
  assert.match(output.at(-1).status, /^Status: Image is up to date for /);
  const image = docker.getImage(Image);
  const { Id, RepoTags, Config } = await image.inspect();
  assert.match(Id, /^sha256:[0-9a-f]{64}$/);
  assert.ok(RepoTags.includes(`${Image}:latest`));
  assert.deepEqual(Config.Cmd, ["sh"]);
  assert.equal((await image.history()).length, 1);
  await image.tag({ repo: "dockerode", tag: "tagged" });
  assert.deepEqual(
    (await docker.listImages({ filters: { reference: ["dockerode:tagged"] } })).map((one) => one.Id),
    [Id],
  );
  assert.deepEqual(await docker.getImage("dockerode:tagged").remove(), [{ Untagged: "dockerode:tagged" }]);
  const error = await refusal(docker.getImage("dockerode:tagged").inspect());
  assert.deepEqual([error.statusCode, error.reason], [404, "no such image"]);
  assert.match(error.json.message, /No such image: dockerode:tagged/i);
});

test("pull of what is not there is refused", async () => {
  const error = await refusal(docker.pull(`${Image}-absent:1`));
  assert.deepEqual([error.statusCode, /not found/.test(error.message)], [404, true]);
});

test("run, as docker run: a stream, both streams, callbacks and events", async () => {
  const all = new PassThrough();
  const [output, container] = await docker.run(Image, ["sh", "-c", "echo hi; exit 3"], all);
  assert.equal(output.StatusCode, 3);
  assert.equal(await text(all), "hi\r\n"); // of a terminal
  await container.remove();

  const [out, error] = [new PassThrough(), new PassThrough()];
  const seen = [];
  await new Promise((resolve, reject) => {
    docker
      .run(Image, ["sh", "-c", "echo out; echo error >&2"], [out, error], { Tty: false }, (failure, data, ended) => {
        if (failure) return reject(failure);
        assert.equal(data.StatusCode, 0);
        ended.remove().then(resolve, reject);
      })
      .on("container", (one) => seen.push(["container", one.id.length]))
      .on("stream", () => seen.push(["stream"]))
      .on("data", (data) => seen.push(["data", data.StatusCode]));
  });
  assert.deepEqual(await Promise.all([text(out), text(error)]), ["out\n", "error\n"]);
  assert.deepEqual(seen, [["container", 64], ["stream"], ["data", 0]]);
});

test("run with AutoRemove on a network of its own", async () => {
  const network = await docker.createNetwork({ Name: "of-run", CheckDuplicate: true });
  const out = new PassThrough();
  const HostConfig = { AutoRemove: true, NetworkMode: "of-run" };
  const [data, container] = await docker.run(Image, ["hostname", "-i"], out, { name: "of-run", HostConfig });
  assert.equal(data.StatusCode, 0);
  const { IPAM } = await network.inspect();
  assert.ok((await text(out)).startsWith(IPAM.Config[0].Subnet.replace(/\d+\/\d+$/, "")));
  await container.wait({ condition: "removed" }).catch((error) => assert.equal(error.statusCode, 404));
  await network.remove();
});

test("the life of a container with a terminal: create, start, resize, stop, remove", async () => {
  const container = await create("trap 'exit 7' TERM; while :; do sleep 0.05; done", { Tty: true, OpenStdin: false });
  await container.start();
  await container.resize({ h: 33, w: 99 });
  const exec = await container.exec({ Cmd: ["stty", "-F", "/proc/1/fd/0", "size"], AttachStdout: true });
  const [size] = await demuxed(await exec.start({}));
  assert.equal(size, "33 99\n");
  await container.stop({ t: 5 });
  const { State } = await container.inspect();
  assert.deepEqual([State.Status, State.ExitCode, State.Running], ["exited", 7, false]);
  assert.equal((await refusal(container.stop())).statusCode, 304);
  await container.remove();
  assert.equal((await refusal(container.inspect())).statusCode, 404);
});

test("attach before the start, demultiplexed; hijacked with input and half-close", async () => {
  const container = await create("cat; echo done >&2", { OpenStdin: true, StdinOnce: true, AttachStdin: true });
  const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
  const output = demuxed(stream);
  await container.start();
  stream.write("first ");
  stream.end("last");
  assert.deepEqual(await output, ["first last", "done\n"]);
  assert.deepEqual((await container.wait()).StatusCode, 0);

  const other = await create("echo out; echo error >&2");
  const both = demuxed(await other.attach({ stream: true, stdout: true, stderr: true }));
  await other.start();
  assert.deepEqual(await both, ["out\n", "error\n"]);
});

test("exec: hijacked as the README has it, streamed, detached, with a user and a directory; its inspect", async () => {
  const container = await started("sleep 600", { name: "exec" });
  const hijacked = await container.exec({ Cmd: ["sha1sum", "-"], AttachStdin: true, AttachStdout: true });
  const stream = await hijacked.start({ hijack: true, stdin: true });
  const output = demuxed(stream);
  const content = Buffer.alloc(1 << 20, "x");
  Readable.from([content]).pipe(stream);
  assert.deepEqual(await output, [`${createHash("sha1").update(content).digest("hex")}  -\n`, ""]);
  const options = { AttachStdout: true, AttachStderr: true, User: "1000:100", WorkingDir: "/tmp", Env: ["A=b c"] };
  const exec = await container.exec({
    Cmd: ["sh", "-c", "id -u; id -g; pwd; echo $A; echo e >&2; exit 4"],
    ...options,
  });
  assert.deepEqual(await demuxed(await exec.start({ Detach: false, Tty: false, stdin: true })), [
    "1000\n100\n/tmp\nb c\n",
    "e\n",
  ]);
  const { ExitCode, Running, ProcessConfig, ContainerID } = await exec.inspect();
  assert.deepEqual([ExitCode, Running, ProcessConfig.user, ContainerID], [4, false, "1000:100", container.id]);
  const detached = await container.exec({ Cmd: ["touch", "/tmp/detached"] });
  (await detached.start({ Detach: true })).resume();
  while ((await detached.inspect()).Running) await new Promise(setImmediate);
  assert.equal((await detached.inspect()).ExitCode, 0);
  const absent = await container.exec({ Cmd: ["absent"], AttachStdout: true, AttachStderr: true });
  await absent.start({}).then(
    (one) => text(one),
    (error) => error,
  );
  assert.equal((await absent.inspect()).ExitCode, 127);
});

test("logs: all at once, followed to the end, the last lines, with times", async () => {
  const container = await started("for i in 1 2 3; do echo line $i; done");
  await container.wait();
  const whole = await container.logs({ stdout: true, stderr: true });
  assert.ok(Buffer.isBuffer(whole));
  assert.deepEqual(await demuxed(Readable.from([whole])), ["line 1\nline 2\nline 3\n", ""]);
  const followed = await container.logs({ stdout: true, follow: true, tail: 2 });
  assert.equal((await demuxed(followed))[0], "line 2\nline 3\n");
  const timed = await container.logs({ stdout: true, timestamps: true, tail: 1 });
  assert.match(String(timed.subarray(8)), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line 3\n$/);
});

test("events as they happen, filtered, until the stream is left", async () => {
  const stream = await docker.getEvents({ filters: { label: ["of=events"], type: ["container"] } });
  const container = await started("exit 5", { Labels: { of: "events" } });
  await container.wait();
  await container.remove();
  const seen = [];
  for await (const chunk of stream) {
    for (const line of String(chunk).split("\n").filter(Boolean)) seen.push(JSON.parse(line));
    if (seen.at(-1).Action === "destroy") break;
  }
  assert.deepEqual(
    seen.map((event) => event.Action),
    ["create", "start", "die", "destroy"],
  );
  assert.equal(seen[2].Actor.Attributes.exitCode, "5");
  assert.ok(seen.every((event) => event.Actor.ID === container.id && event.timeNano > 0));
});

test("lists of containers: all, by label, status and name; stopping all", async () => {
  const own = { all: true, filters: { label: ["of=list"] } };
  const options = { Labels: { of: "list" } };
  const [one, two] = [await started("sleep 600", { ...options, name: "listed" }), await create("true", options)];
  const ids = async (query) => (await docker.listContainers(query)).map(({ Id }) => Id);
  assert.deepEqual(await ids(own), [two.id, one.id]);
  assert.deepEqual(await ids({ filters: own.filters }), [one.id]);
  assert.deepEqual(await ids({ filters: { ...own.filters, status: ["created"] } }), [two.id]);
  assert.deepEqual(await ids({ limit: 1, filters: own.filters, all: true }), [two.id]);
  const [listed] = await docker.listContainers({ filters: { name: ["^/listed$"] } });
  assert.deepEqual([listed.Names, listed.State, listed.Labels.of], [["/listed"], "running", "list"]);
  const stopped = (await docker.listContainers({ filters: own.filters })).map(({ Id }) =>
    docker.getContainer(Id).stop({ t: 0 }),
  );
  await Promise.all(stopped);
  assert.deepEqual(await ids({ filters: own.filters }), []);
  const { ContainersDeleted } = await docker.pruneContainers({ filters: { label: ["of=list"] } });
  assert.deepEqual(ContainersDeleted.sort(), [one.id, two.id].sort());
});

test("archives of a container's files, in and out, and what was changed", async () => {
  const container = await create("cat /srv/in.txt", { name: "files" });
  const archived = () => Readable.from([tarOf("srv/in.txt", "put there")]);
  assert.equal((await refusal(container.putArchive(archived(), { path: "/absent" }))).statusCode, 404);
  await container.putArchive(archived(), { path: "/" });
  const [result, output] = [
    container.wait({ condition: "next-exit" }),
    demuxed(await container.attach({ stream: true, stdout: true })),
  ];
  await container.start();
  assert.equal((await result).StatusCode, 0);
  assert.deepEqual(await output, ["put there", ""]);
  const archive = await buffer(await container.getArchive({ path: "/srv/in.txt" }));
  assert.equal(archive.subarray(0, 6).toString(), "in.txt");
  assert.equal(archive.subarray(512, 521).toString(), "put there");
  const info = await container.infoArchive({ path: "/srv/in.txt" });
  info.resume();
  assert.equal(JSON.parse(Buffer.from(info.headers["x-docker-container-path-stat"], "base64")).size, 9);
  assert.deepEqual(await container.changes(), [
    { Path: "/srv", Kind: 1 },
    { Path: "/srv/in.txt", Kind: 1 },
  ]);
  const exported = await buffer(await container.export());
  assert.ok(exported.includes("srv/in.txt"));
});

/** An archive of one regular file (ustar). */
function tarOf(name, content) {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  for (const [offset, value] of [
    [100, "0000644"],
    [108, "0000000"],
    [116, "0000000"],
    [136, "00000000000"],
  ]) {
    header.write(`${value}\0`, offset);
  }
  header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
  header.write("        0", 148);
  header.write("ustar\u000000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return Buffer.concat([header, Buffer.from(content), Buffer.alloc(512 - (content.length % 512)), Buffer.alloc(1024)]);
}

test("commit, save, load and import of images", async () => {
  const container = await started("echo kept > /kept");
  await container.wait();
  const { Id } = await container.commit({
    repo: "dockerode",
    tag: "committed",
    comment: "of a test",
    changes: "ENV A=1",
  });
  const { Config, Comment } = await docker.getImage(Id).inspect();
  assert.ok(Config.Env.includes("A=1"));
  assert.equal(Comment, "of a test");
  const saved = await buffer(await docker.getImage("dockerode:committed").get());
  await docker.getImage("dockerode:committed").remove();
  const loaded = await progress(await docker.loadImage(Readable.from([saved])));
  assert.match(loaded.at(-1).stream, /^Loaded image: dockerode:committed\n$/);
  const out = new PassThrough();
  const [{ StatusCode }] = await docker.run("dockerode:committed", ["cat", "/kept"], out, { Tty: false });
  assert.equal(StatusCode, 0);
  await docker.importImage(Readable.from([tarOf("file", "x")]), { repo: "dockerode", tag: "imported" }).then(progress);
  const refs = { filters: { reference: ["dockerode"] } };
  assert.equal((await docker.listImages(refs)).length, 2);
  for (const { Id: id } of await docker.listImages(refs)) await docker.getImage(id).remove({ force: true });
  assert.deepEqual(await docker.listImages(refs), []);
});

test("networks: create, connect with aliases, names, disconnect, list, prune", async () => {
  const network = await docker.createNetwork({ Name: "dockerode", Driver: "bridge", Labels: labels });
  const server = await started("sleep 600", { name: "server" });
  await network.connect({ Container: server.id, EndpointConfig: { Aliases: ["db"] } });
  const { Containers } = await network.inspect();
  assert.equal(Containers[server.id].Name, "server");
  const address = Containers[server.id].IPv4Address.split("/")[0];
  const out = new PassThrough();
  const HostConfig = { NetworkMode: "dockerode" };
  const [{ StatusCode }] = await docker.run(Image, ["nslookup", "db."], out, { Tty: false, HostConfig });
  assert.equal(StatusCode, 0);
  assert.ok((await text(out)).includes(address));
  assert.equal((await refusal(network.remove())).statusCode, 403);
  await network.disconnect({ Container: server.id, Force: true });
  assert.deepEqual((await network.inspect()).Containers, {});
  const filters = { label: ["suite=dockerode"] };
  assert.deepEqual(
    (await docker.listNetworks({ filters })).map(({ Id }) => Id),
    [network.id],
  );
  assert.deepEqual((await docker.pruneNetworks({ filters })).NetworksDeleted, ["dockerode"]);
});

test("volumes: create, list, inspect, in a container, prune", async () => {
  const volume = await docker.createVolume({ Name: "dockerode", Labels: labels });
  const HostConfig = { Binds: ["dockerode:/data"], AutoRemove: true };
  const [{ StatusCode }] = await docker.run(Image, ["touch", "/data/file"], new PassThrough(), { HostConfig });
  assert.equal(StatusCode, 0);
  assert.equal((await docker.getVolume(volume.name).inspect()).Labels.suite, "dockerode");
  const filters = { label: ["suite=dockerode"] };
  assert.deepEqual(
    (await docker.listVolumes({ filters })).Volumes.map(({ Name }) => Name),
    ["dockerode"],
  );
  const { VolumesDeleted } = await docker.pruneVolumes({ filters: { ...filters, all: ["true"] } });
  assert.deepEqual(VolumesDeleted, ["dockerode"]);
  assert.equal((await refusal(docker.getVolume("dockerode").remove())).statusCode, 404);
});

test("rename, update, pause, unpause, restart and kill", async () => {
  const container = await started("sleep 600", { name: "before" });
  await container.rename({ name: "after" });
  await container.update({ Memory: 64 << 20, MemorySwap: -1 });
  const { Name, HostConfig } = await container.inspect();
  assert.deepEqual([Name, HostConfig.Memory, HostConfig.MemorySwap], ["/after", 64 << 20, -1]);
  await container.pause();
  assert.equal((await container.inspect()).State.Status, "paused");
  await container.unpause();
  const { Pid } = (await container.inspect()).State;
  await container.restart({ t: 0 });
  const { State, RestartCount } = await container.inspect();
  assert.deepEqual([State.Running, State.Pid !== Pid, RestartCount], [true, true, 0]);
  const end = container.wait();
  await container.kill({ signal: "SIGKILL" });
  assert.equal((await end).StatusCode, 128 + 9);
});

test("top and stats, streamed and once", async () => {
  const container = await started("sleep 600", { name: "watched" });
  const { Titles, Processes } = await container.top({ ps_args: "-ef" });
  assert.equal(Processes[0][Titles.indexOf("CMD")], "sleep 600");
  const single = await container.stats({ stream: false });
  assert.ok(single.memory_stats.usage > 0 && single.cpu_stats.cpu_usage.total_usage > 0);
  assert.equal(single.id, container.id);
  const stream = await container.stats({});
  const [chunk] = await once(stream, "data");
  assert.equal(JSON.parse(chunk).name, "/watched");
  stream.destroy();
});

test("calls are ended by an abort signal, and the daemon goes on", async () => {
  const container = await started("sleep 600");
  const abort = new AbortController();
  const waiting = refusal(container.wait({ abortSignal: abort.signal }));
  setImmediate(() => abort.abort());
  assert.equal((await waiting).name, "AbortError");
  assert.equal((await container.inspect()).State.Running, true);
});

test("mistakes have docker's statuses and words", async () => {
  const taken = await refusal(create("true", { name: "exec" }));
  assert.deepEqual([taken.statusCode, /is already in use by container/.test(taken.json.message)], [409, true]);
  const absent = await refusal(docker.createContainer({ Image: "absent:1" }));
  assert.deepEqual([absent.statusCode, absent.json.message], [404, "No such image: absent:1"]);
  assert.equal((await refusal(docker.getContainer("absent").start())).statusCode, 404);
  assert.equal((await refusal(docker.getNetwork("absent").inspect())).statusCode, 404);
  assert.equal((await refusal(docker.getExec("absent").inspect())).statusCode, 404);
  assert.equal((await refusal(docker.swarmInspect())).statusCode, 503);
  assert.equal((await refusal(docker.listServices())).statusCode, 503);
  assert.deepEqual(await docker.listPlugins(), []);
});
