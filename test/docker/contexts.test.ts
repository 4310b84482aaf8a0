/**
 * `context` commands: docker's client and tsd do the same to directories of their own, and say the same; then each reads
 * what the other has written.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeCertificates } from "../harness/certificates.ts";
import { command } from "../harness/command.ts";
import { dockerClient } from "../harness/packages.ts";
import { tsd } from "../harness/workspace.ts";

let root = "";
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "tsd-contexts-"));
  // By this name tsd speaks of itself as docker does.
  symlinkSync(tsd, join(root, "docker"));
  const made = await makeCertificates(join(root, "made"), ["127.0.0.1"]);
  for (const name of ["theirs", "ours"]) {
    mkdirSync(join(root, name));
    cpSync(made.ca, join(root, name, "ca.pem"));
    cpSync(made.client.certificate, join(root, name, "cert.pem"));
    cpSync(made.client.key, join(root, name, "key.pem"));
    cpSync(made.server.key, join(root, name, "other.pem"));
    writeFileSync(
      join(root, name, "meta.json"),
      '{"Name":"zipped","Metadata":{},"Endpoints":{"docker":{"Host":"unix:///z"}}}',
    );
  }
});
afterAll(() => rmSync(root, { recursive: true }));

interface Said {
  status: number;
  stdout: string;
  stderr: string;
}

/** @param directory what is called `config` there is the client's configuration. */
async function run(program: string, directory: string, args: string[], env: Record<string, string>): Promise<Said> {
  const cwd = join(root, directory);
  const own = { DOCKER_CONFIG: join(cwd, "config"), DOCKER_HOST: "", TSD_HOST: "", DOCKER_CONTEXT: "", ...env };
  const { status, stdout, stderr } = await command([program, ...args], { cwd, env: own });
  // The socket of a daemon that nothing names is either's own, as are the width of its column, and what has no end here.
  const plain = (text: string) =>
    text
      .replaceAll(cwd, "DIR")
      .replace(/unix:\/\/\/(var\/run\/docker|run\/tsd\/tsd)\.sock/g, "SOCKET")
      .replace(/DOCKER ENDPOINT +ERROR/, "DOCKER ENDPOINT ERROR")
      .replace(/ +(context "absent"|$)/gm, " $1")
      .replace(/(not found: open )\/.*…/g, "$1…");
  return {
    status,
    stdout: plain(stdout),
    stderr: plain(stderr)
      .trimStart()
      .split("\n", 1)[0]!
      .replace(/^docker: /, ""),
  };
}

const theirs = (args: string[], env: Record<string, string> = {}) => run(dockerClient(), "theirs", args, env);
const ours = (args: string[], env: Record<string, string> = {}) => run(join(root, "docker"), "ours", args, env);

/** In sequence; the second is the environment. */
const commands: [args: string, env?: Record<string, string>][] = [
  ["ls"],
  ["create"],
  ["create a --docker host=tcp://127.0.0.1:1"],
  ["create default"],
  ["create tls --description words --docker host=tcp://127.0.0.1:1,cert=cert.pem,key=key.pem,skip-tls-verify=1"],
  ["create tls"],
  ["create unix --docker host=unix:///x.sock"],
  ["create near"],
  ["create copy --from unix --description other"],
  ["create copy2 --docker from=unix"],
  ["create no --from nope"],
  ["create no --from unix --docker host=unix:///y"],
  ["create no --docker host=tcp://h,ca=/nope"],
  ["create no --docker host=tcp://h,ca=meta.json"],
  ["create no --docker host=tcp://h,cert=cert.pem,key=other.pem"],
  ["create no --docker foo=bar"],
  ["create no --docker host=nonsense"],
  ["create no --docker host"],
  ["ls"],
  ["ls --format json"],
  ["ls -q"],
  ["inspect tls unix nope"],
  ["inspect tls --format {{.Name}}:{{.Endpoints.docker.Host}}:{{json_.TLSMaterial}}"],
  ["use nope"],
  ["use unix"],
  ["show"],
  ["use tls", { DOCKER_HOST: "unix:///y" }],
  ["ls"],
  ["ls", { DOCKER_HOST: "unix:///y" }],
  ["ls", { DOCKER_CONTEXT: "absent" }],
  ["show", { DOCKER_CONTEXT: "unix" }],
  ["rm tls"],
  ["export unix unix.tar"],
  ["export unix unix.tar"],
  ["export tls"],
  ["import imported tls.dockercontext"],
  ["import imported tls.dockercontext"],
  ["import no meta.json"],
  ["import no /nope"],
  ["inspect imported"],
  ["update imported --description new"],
  ["update imported --docker host=unix:///other"],
  ["update nope"],
  ["inspect imported"],
  ["rm default"],
  ["rm nope copy2"],
  ["rm -f tls nope"],
  ["show"],
  ["ls"],
];

describe("context", () => {
  test("does and says what docker's does", async () => {
    for (const [line, env] of commands) {
      const args = ["context", ...line.split(" ").map((word) => word.replaceAll("_", " "))];
      const [expected, own] = await Promise.all([theirs(args, env), ours(args, env)]);
      // Neither is a tar archive; each says so in its own words.
      if (line === "import no meta.json") expected.stderr = own.stderr;
      expect({ line, ...own }).toEqual({ line, ...expected });
    }
  }, 60_000);

  test("leaves the same files, which docker's client reads, and tsd docker's", async () => {
    const config = (name: string) => JSON.parse(readFileSync(join(root, name, "config", "config.json"), "utf8"));
    expect({ auths: {}, ...config("ours") }).toEqual(config("theirs"));
    const found = await Promise.all([
      theirs(["context", "inspect", "imported", "unix", "near", "copy"]),
      ours(["context", "inspect", "imported", "unix", "near", "copy"]),
    ]);
    for (const name of ["ours", "theirs"]) cpSync(join(root, name), join(root, `${name}-copied`), { recursive: true });
    const exchanged = await Promise.all([
      run(dockerClient(), "ours-copied", ["context", "inspect", "imported", "unix", "near", "copy"], {}),
      run(join(root, "docker"), "theirs-copied", ["context", "inspect", "imported", "unix", "near", "copy"], {}),
    ]);
    for (const said of exchanged) expect({ ...said, status: 0 }).toEqual(found[0]);
    expect(found[1]).toEqual(found[0]);
  });

  test("carries files of TLS from either's archive to the other", async () => {
    for (const [from, to] of [
      ["theirs", ours],
      ["ours", theirs],
    ] as const) {
      const name = `from-${from}`;
      expect(await to(["context", "import", name, join(root, from, "tls.dockercontext")])).toMatchObject({ status: 0 });
      const { stdout } = await to(["context", "inspect", name, "--format", "{{json .TLSMaterial}}"]);
      expect(stdout).toBe('{"docker":["cert.pem","key.pem"]}\n');
    }
  });

  test("that is not there keeps commands from the daemon, and the answer is docker's", async () => {
    const [expected, own] = await Promise.all([theirs(["-c", "absent", "ps"]), ours(["-c", "absent", "ps"])]);
    expect(own.stderr.toLowerCase()).toBe(expected.stderr.toLowerCase());
    expect([own.status, expected.status]).toEqual([1, 1]);
  });
});
