import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { isDeepStrictEqual } from "node:util";
import { psTable } from "./table.ts";

/** A shell that waits for input, with a child that sleeps and one that has ended. */
let shell: Bun.Subprocess<"pipe", "pipe">;
let pids: number[];

function table(words: string | readonly string[], of: readonly number[] = pids) {
  return psTable(typeof words === "string" ? words.split(" ") : words, () => of);
}

beforeAll(async () => {
  shell = Bun.spawn(["sh", "-c", "sleep 1000 & echo $!; sleep 0.1 & echo $!; exec sh -c 'read x' 'a b'"], {
    stdin: "pipe",
    stdout: "pipe",
    env: { ...process.env, GREETING: "hello" },
  });
  let printed = "";
  for await (const chunk of shell.stdout) {
    printed += new TextDecoder().decode(chunk);
    if (printed.split("\n").length > 2) break;
  }
  pids = [shell.pid, ...printed.trim().split("\n").map(Number)];
  const words = async () => (await table(["-o", "pid,args"])).processes.map(([, command]) => command);
  await until(async () => isDeepStrictEqual(await words(), ["sh -c read x a b", "sleep 1000", "[sleep] <defunct>"]));
});

afterAll(async () => {
  for (const pid of pids) process.kill(pid, "SIGKILL");
  await shell.exited;
});

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 3000; !(await condition()); await Bun.sleep(2)) {
    if (performance.now() > end) throw new Error("the processes are not what they should have become");
  }
}

/** What the host's ps prints of the same processes, taken apart as dockerd does. */
function hostTable(words: readonly string[]): { titles: string[]; processes: string[][] } {
  const { stdout, stderr } = Bun.spawnSync(["ps", ...words, `-q${pids}`], { env: { ...process.env, COLUMNS: "1000" } });
  if (stderr.length > 0) throw new Error(stderr.toString());
  const [heading = "", ...lines] = stdout.toString().trimEnd().split("\n");
  const titles = heading.trim().split(/\s+/);
  const cells = (line: string): string[] => {
    const fields = line.trim().split(/\s+/);
    return [...fields.slice(0, titles.length - 1), fields.slice(titles.length - 1).join(" ")];
  };
  return { titles, processes: lines.map(cells) };
}

/** Listings and columns whose values stay while a process sleeps. */
const arguments_ = [
  "-ef",
  "aux",
  "-aux",
  "-e",
  "ax",
  "-l",
  "-ly",
  "-lf",
  "l",
  "-j",
  "-fj",
  "j",
  "-F",
  "-c",
  "-fc",
  "u",
  "v",
  "s",
  "-eLf",
  "-L",
  "-T",
  "auxc",
  "auxn",
  "-O rss,nice",
  "-eo pid,ppid,comm",
  "-o pid=PID -o user:20,group,args",
  "-o pid,user:3,group:3,wchan:4,args",
  "-opid,euser,egroup,ruser,suid,fsgid,supgid,supgrp",
  "o pid,pgid,sess,tpgid,nlwp,tty,tt,tname",
  "-o pid,start,bsdstart,start_time,bsdtime,cputime,times",
  "-o pid,cls,policy,sched,pri,opri,priority,ni,rtprio,psr,sgi_p,f,flags",
  "-o pid,vsz,rss,sz,size,trs,drs,majflt,min_flt,pmem,%mem",
  "-o pid,pending,blocked,ignored,caught,s,state,stat",
  "-o pid,netns,mntns,pidns,userns,utsns,ipcns,cgroupns,oomadj",
  "--format pid,exe,cmd",
  "--format=pid,tgid,euid,egid,lwp,tid,thcount",
  "-o pid,wchan:30,fname",
  "-efww",
];

describe.skipIf(Bun.which("ps") === null)("beside the host's ps (skipped without ps)", () => {
  test.each(arguments_)("%s is the same table", async (words) => {
    expect(await table(words)).toEqual(hostTable(words.split(" ")));
  });

  const refused = ["-Q", "Q", "--foo", "-o pid,foo", "-u nobody-of-that-name", "-p x", "-o pid,,comm", "u j"];
  test.each(refused)("%s is refused in its words", async (words) => {
    const { stderr, exitCode } = Bun.spawnSync(["ps", ...words.split(" ")]);
    expect(exitCode).toBe(1);
    const reason = stderr.toString().split("\n")[0]!;
    await expect(table(words)).rejects.toThrow(`ps: ${reason}`);
  });
});

describe("a table of processes", () => {
  test("keeps a cell with blanks in one piece, and cuts nothing but names", async () => {
    const { titles, processes } = await table(["-o", "pid,args,lstart"], [shell.pid]);
    expect(titles).toEqual(["PID", "COMMAND", "STARTED"]);
    expect(processes[0]).toEqual([
      String(shell.pid),
      "sh -c read x a b",
      expect.stringMatching(/^\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}$/),
    ]);
  });

  test("passes over what has ended, and is empty of nothing", async () => {
    expect((await table(["-ef"], [2 ** 22 + 1])).processes).toEqual([]);
    expect((await table(["-eN"])).processes).toEqual([]);
  });

  test("passes over a pid that was given to somebody else's process while it was read", async () => {
    const lists = [pids, pids.slice(1)];
    const { processes } = await psTable(["-o", "pid"], () => lists.shift()!);
    expect(processes).toEqual(pids.slice(1).map((pid) => [String(pid)]));
  });

  test("reads no more of what a process says of itself than ps does, less when it has become much, and lets others go on", async () => {
    const words = ["-c", "read x", ...Array.from({ length: 12 }, () => "y".repeat(120_000)), "", "", "z"];
    const talker = Bun.spawn(["sh", ...words], { stdin: "pipe" });
    const commands = async (of: number[]) => (await table(["-o", "pid,args"], of)).processes.map((row) => row[1]!);
    await until(async () => (await commands([talker.pid]))[0]?.startsWith("sh -c read x y") === true);
    expect((await commands([talker.pid]))[0]).toHaveLength(128 << 10);
    let turns = 0;
    const counting = setInterval(() => turns++, 0);
    const many = await commands(Array.from({ length: 2000 }, () => talker.pid));
    clearInterval(counting);
    talker.kill();
    expect([many.length, many[0]!.length, many.at(-1)!.length]).toEqual([2000, 128 << 10, 4 << 10]);
    expect(turns).toBeGreaterThan(1);
  });

  test("has everything of the container, whatever else is asked for", async () => {
    for (const words of ["-C cat", "-u root -f", "-p 1 -f", "1", "-t pts/0"]) {
      expect((await table(words)).processes.length, words).toBe(3);
    }
  });

  test("has the environment after the words where it is asked for", async () => {
    expect((await table(["axe"], [shell.pid])).processes[0]!.at(-1)).toContain("sh -c read x a b ");
    expect((await table(["axe"], [shell.pid])).processes[0]!.at(-1)).toContain(" GREETING=hello");
  });

  test("is sorted as it is asked for", async () => {
    const ids = async (words: string) => (await table(words)).processes.map((row) => Number(row[0]));
    expect(await ids("-o pid --sort=-pid")).toEqual([...pids].sort((a, b) => b - a));
    const { processes } = await table(["-o", "pid,ppid", "--sort", "ppid,-pid"]);
    const expected = [...processes].sort(([a, b], [c, d]) => Number(b) - Number(d) || Number(c) - Number(a));
    expect(processes).toEqual(expected);
    expect(await ids("o pid k -pid")).toEqual([...pids].sort((a, b) => b - a));
  });

  test("shows children below their parents", async () => {
    const commands = async (words: string) => (await table(words)).processes.map((row) => row.at(-1));
    expect((await commands("axf")).sort()).toEqual([" \\_ [sleep] <defunct>", " \\_ sleep 1000", "sh -c read x a b"]);
    expect((await commands("-eH")).sort()).toEqual(["  sleep", "  sleep", "sh"]);
  });

  test("has lines for threads, which with m have no pid", async () => {
    const { titles, processes } = await table(["m"], [shell.pid]);
    expect(titles).toEqual(["PID", "TTY", "STAT", "TIME", "COMMAND"]);
    expect(processes.map(([pid, , stat, , command]) => [pid, stat, command])).toEqual([
      [String(shell.pid), "-", "sh -c read x a b"],
      ["-", "S", "-"],
    ]);
  });

  test.each(["-o args", "-o pid=FOO", "--no-headers", "-V", "L"])("%s has no PID to look for", async (words) => {
    await expect(table(words)).rejects.toThrow("Couldn't find PID field in ps output");
  });

  test("does not let another column be called PID", async () => {
    await expect(table(["-o", "ppid=PID,args"])).rejects.toThrow('specifying "ppid=PID,args" is not allowed');
    await expect(table(["-opid,args", "-o", "comm=PIDS"])).rejects.toThrow('specifying "comm=PIDS" is not allowed');
  });
});
