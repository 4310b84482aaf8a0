/** A client that creates, starts, enters, stops and removes containers, and knows what must be so of each at any moment. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ContainerInspect } from "../../src/api/schema/container.ts";
import type { Daemon } from "../harness/daemon.ts";
import type { Random } from "../harness/random.ts";

type Status = "absent" | "created" | "running" | "exited";

/** A container as its client knows it. */
interface Subject {
  name: string;
  id: string | undefined;
  /** It ends by itself with this status; else it goes on until it is stopped, and has then the status 7. */
  ownCode: number | undefined;
  /** What it may be by what was asked and answered. */
  may: Set<Status>;
  /** Its shim was killed: nobody knows how it ended, if it ended by that. */
  isOrphaned: boolean;
  /** That was so once: runs in its log may be cut short. */
  wasOrphaned: boolean;
  /** An end that was found to be true before. */
  seenEnd: string;
}

const failedStart = "the daemon was killed before the container was started";
const lines = 40;
/** A trap runs when the shell is not waiting for a program in the foreground. */
const lasting = "trap 'echo end; exit 7' TERM; echo begin; sleep 1000 & wait";
const fleeting = (code: number) =>
  `i=0; while [ $i -lt ${lines} ]; do echo line $i; i=$((i+1)); done; echo end; exit ${code}`;
const fleetingLog = `${Array.from({ length: lines }, (_, line) => `line ${line}\n`).join("")}end\n`;

export class LoadClient {
  readonly #daemon: Daemon;
  readonly #random: Random;
  readonly #image: string;
  readonly #label: string;
  readonly #subjects: Subject[] = [];
  #number = 0;
  /** Some have been in this round: a start may have lost the one that it was given. */
  shimsAreKilled = false;
  /** What it asks for at the moment, and what was answered before: for the story of a failure. */
  readonly story: string[] = [];

  constructor(daemon: Daemon, random: Random, image: string, label: string) {
    this.#daemon = daemon;
    this.#random = random;
    this.#image = image;
    this.#label = label;
  }

  get names(): string[] {
    return this.#subjects.filter(({ may }) => !may.has("absent") || may.size > 1).map(({ name }) => name);
  }

  orphaned(id: string): void {
    for (const subject of this.#subjects) {
      if (subject.id === id) subject.isOrphaned = subject.wasOrphaned = true;
    }
  }

  /** Asks for one thing after the other until it is told to stop, or the daemon is gone. */
  async work(isOver: () => boolean): Promise<void> {
    this.story.length = 0;
    while (!isOver()) {
      const step = this.#choose();
      try {
        await step();
      } catch (error) {
        if (!(error instanceof ConnectionLost)) throw error;
        this.story.push("no answer");
        return;
      }
    }
  }

  #choose(): () => Promise<void> {
    const subject = this.#subjects.length < 2 ? undefined : this.#random.pick(this.#subjects);
    if (subject === undefined) return () => this.#create();
    if (subject.may.has("absent")) this.#subjects.splice(this.#subjects.indexOf(subject), 1);
    const is = (status: Status) => subject.may.size === 1 && subject.may.has(status);
    if (is("created")) return () => this.#start(subject);
    if (is("running") && subject.ownCode === undefined) {
      const kind = this.#random.below(4);
      if (kind < 2) return () => this.#exec(subject);
      return kind === 2 ? () => this.#stop(subject) : () => this.#remove(subject);
    }
    if (is("exited") && this.#random.below(2) === 0) return () => this.#start(subject);
    return () => this.#remove(subject);
  }

  async #create(): Promise<void> {
    const ownCode = this.#random.below(2) === 0 ? undefined : 1 + this.#random.below(50);
    const name = `${this.#label}-${++this.#number}`;
    const may = new Set<Status>(["absent", "created"]);
    const subject = {
      name,
      id: undefined,
      ownCode,
      may,
      isOrphaned: false,
      wasOrphaned: false,
      seenEnd: "",
    } as Subject;
    this.#subjects.push(subject);
    const script = ownCode === undefined ? lasting : fleeting(ownCode);
    const body = {
      Image: this.#image,
      Cmd: ["sh", "-c", script],
      HostConfig: { NetworkMode: this.#random.below(3) === 0 ? "bridge" : "none" },
    };
    const answer = await this.#ask("POST", `/containers/create?name=${name}`, body);
    this.#expect(answer, [201]);
    subject.id = (JSON.parse(answer.text) as { Id: string }).Id;
    subject.may = new Set(["created"]);
  }

  async #start(subject: Subject): Promise<void> {
    const after: Status[] = subject.ownCode === undefined ? ["running"] : ["running", "exited"];
    const before = subject.may;
    subject.may = new Set([...before, ...after]);
    const answer = await this.#ask("POST", `/containers/${subject.name}/start`);
    if (this.shimsAreKilled && answer.status === 503) {
      // Its shim was one of them, in the middle of the start.
      subject.isOrphaned = subject.wasOrphaned = true;
      subject.may = before;
    } else {
      this.#expect(answer, subject.isOrphaned ? [204, 304] : [204]);
      subject.may = new Set(after);
    }
  }

  async #stop(subject: Subject): Promise<void> {
    subject.may.add("exited");
    const answer = await this.#ask("POST", `/containers/${subject.name}/stop?t=1`);
    this.#expect(answer, subject.isOrphaned ? [204, 304] : [204]);
    subject.may = new Set(["exited"]);
  }

  async #remove(subject: Subject): Promise<void> {
    // It is ended first.
    if (subject.may.has("running")) subject.may.add("exited");
    subject.may.add("absent");
    const answer = await this.#ask("DELETE", `/containers/${subject.name}?force=1`);
    const index = this.#subjects.indexOf(subject);
    // What may not have been there was forgotten already.
    this.#expect(answer, index < 0 ? [204, 404] : [204]);
    if (index >= 0) this.#subjects.splice(index, 1);
  }

  async #exec(subject: Subject): Promise<void> {
    const body = { Cmd: ["sh", "-c", "echo within; exit 3"], AttachStdout: true };
    const created = await this.#ask("POST", `/containers/${subject.name}/exec`, body);
    if (subject.isOrphaned && created.status === 409) return;
    this.#expect(created, [201]);
    const { Id } = JSON.parse(created.text) as { Id: string };
    const started = await this.#ask("POST", `/exec/${Id}/start`, {});
    if (subject.isOrphaned) return;
    this.#expect(started, [200]);
    const ended = await this.#ask("GET", `/exec/${Id}/json`);
    this.#expect(ended, [200]);
    const { ExitCode } = JSON.parse(ended.text) as { ExitCode: number };
    if (!subject.isOrphaned && (ExitCode !== 3 || !started.text.endsWith("within\n"))) {
      throw new Error(`exec in ${subject.name}: status ${ExitCode}, ${JSON.stringify(started.text)}`);
    }
  }

  /** Every container is what it may be, and that is true. Afterwards it is known what it is. */
  async check(): Promise<void> {
    for (const subject of [...this.#subjects]) {
      const state = await this.#stateOf(subject);
      if (state === "absent") this.#subjects.splice(this.#subjects.indexOf(subject), 1);
      subject.may = new Set([state]);
      subject.isOrphaned = false;
    }
  }

  async #stateOf(subject: Subject): Promise<Status> {
    const response = await this.#ask("GET", `/containers/${subject.name}/json`);
    if (response.status === 404) return this.#allowed(subject, "absent", response.text);
    const { State, LogPath, Id } = JSON.parse(response.text) as ContainerInspect;
    const about = `${State.Status} ${State.ExitCode} ${State.Error}`;
    subject.id ??= Id;
    if (State.Status === "running") {
      // One whose shim was killed may have been started again.
      if (subject.ownCode === undefined && isAlive(State.Pid) && isAlive(this.#shimOf(Id))) {
        return this.#allowed(subject, "running", about);
      }
      // It ends at once, or its end is about to be found out.
      await this.#ask("POST", `/containers/${subject.name}/wait`);
      return this.#stateOf(subject);
    }
    const log = logOf(LogPath);
    if (State.Status === "created") {
      if (log !== "") throw new Error(`${subject.name} was never started by its record, and has a log: ${log}`);
      return this.#allowed(subject, "created", about);
    }
    const codes = subject.ownCode === undefined ? [7, 137] : [subject.ownCode];
    const isUnknown = State.ExitCode === 255 && State.Error.includes("shim was killed");
    // A start that was asked for, and never answered.
    const hasFailed = State.ExitCode === 128 && subject.may.size > 1 && State.Error === failedStart;
    const hasLostShim = subject.isOrphaned && (isUnknown || State.ExitCode === 128);
    const end = `${about} ${State.FinishedAt}`;
    if (!hasLostShim && !hasFailed && subject.seenEnd !== end && !codes.includes(State.ExitCode)) {
      throw new Error(`${subject.name} cannot have ended so: ${about}\n${log}`);
    }
    this.#checkLog(subject, log, State.ExitCode);
    subject.seenEnd = end;
    return this.#allowed(subject, "exited", about);
  }

  /** 0 when it has just ended. */
  #shimOf(id: string): number {
    const path = join(this.#daemon.state, "containers", id, "shim.json");
    return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as { shimPid: number }).shimPid : 0;
  }

  #checkLog({ name, ownCode, wasOrphaned }: Subject, log: string, exitCode: number): void {
    const run = ownCode === undefined ? "begin\n(end\n)?" : wasOrphaned ? "(line \\d+\n)*(end\n)?" : fleetingLog;
    const isWhole =
      new RegExp(`^(${run})*$`).test(log) && (exitCode !== 7 || ownCode !== undefined || log.endsWith("end\n"));
    if (!isWhole) throw new Error(`the log of ${name} is not whole, status ${exitCode}: ${JSON.stringify(log)}`);
  }

  #allowed({ name, may, isOrphaned }: Subject, status: Status, about: string): Status {
    if (may.has(status) || (isOrphaned && status === "exited")) return status;
    throw new Error(`${name} may be ${[...may].join(" or ")}, and is ${status}: ${about}`);
  }

  async #ask(method: string, path: string, body?: object): Promise<{ status: number; text: string }> {
    this.story.push(`${method} ${path}`);
    const headers = { "content-type": "application/json" };
    let status: number;
    let text: string;
    try {
      const request = { unix: this.#daemon.socket, method, keepalive: false, headers };
      const response = await fetch(`http://tsd${path}`, { ...request, ...(body && { body: JSON.stringify(body) }) });
      status = response.status;
      text = await response.text();
    } catch (error) {
      throw new ConnectionLost(`${method} ${path}`, { cause: error });
    }
    this.story[this.story.length - 1] += `: ${status}`;
    return { status, text };
  }

  #expect({ status, text }: { status: number; text: string }, wanted: number[]): void {
    if (!wanted.includes(status)) throw new Error(`${this.story.at(-1)}, not ${wanted.join(" or ")}: ${text}`);
  }
}

class ConnectionLost extends Error {}

/** Whatever stands in the file, also what was written last, is a record. */
function logOf(path: string): string {
  let text = "";
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return ""; // never started
  }
  const records = text.split("\n").slice(0, -1);
  if (text !== "" && !text.endsWith("\n")) throw new Error(`${path} ends within a record: ${text.slice(-200)}`);
  return records.map((record) => (JSON.parse(record) as { log: string }).log).join("");
}

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false; // it has ended
  }
}
