/** From an image to a container of an OCI runtime with words alone, on a terminal, as Docker's and runc's manuals show it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { Engine } from "../harness/engine.ts";
import { TerminalSession } from "../harness/terminal.ts";
import { tsd } from "../harness/workspace.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open();
});
afterAll(() => engine?.[Symbol.asyncDispose]());

/** Types the lines one by one, each at the prompt of a shell. */
async function flow(name: string, runtime: string): Promise<void> {
  const directory = engine.workspace.path(name);
  mkdirSync(`${directory}/rootfs`, { recursive: true });
  const env = { ...engine.daemon.env, PS1: "ready> ", tsd, HOME: directory };
  await using session = new TerminalSession(["sh"], { env });
  const enter = async (line: string) => {
    await session.expect("ready> ");
    session.type(`${line}\r`);
  };
  await enter(`cd ${directory}`);
  await enter(`$tsd export $($tsd create ${engine.busybox}) | tar -C rootfs -xf -`);
  await enter("$tsd runtime spec && echo done: $(ls)");
  await session.expect("done: config.json rootfs");
  const id = `${engine.workspace.name}-${name}`;
  await enter(`${runtime} --root ${directory}/state run ${id}`);
  await session.expect("/ # ");
  session.type("echo $(hostname) $(id -u) $(tty); touch /x; exit 7\r");
  await session.expect(/tsd 0 \/dev\/(pts\/0|console)\r\n/);
  await session.expect("Read-only file system");
  await enter("echo status $?");
  await session.expect("status 7\r\n");
  await enter("exit");
  expect(await session.end()).toBe(0);
}

test("export, tar, spec and run give a shell on the terminal with tsd's runtime", () => flow("own", "$tsd runtime"));

test("and with runc", () => flow("other", "runc"));
