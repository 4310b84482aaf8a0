/** `cp`: docker's, and from container to container, and to an owner. */
import { isTerminal } from "../../../ffi/pty.ts";
import { goModes, hasGoMode, type PathStatJson } from "../../api/schema/path-stat.ts";
import { readArchive, statPath, type WriteOptions, writeArchive } from "../../client/files.ts";
import type { DaemonAddress } from "../../client/host.ts";
import { EngineError } from "../../core/errors.ts";
import type { TarSink } from "../../tar/tar-entry.ts";
import { standardInput } from "../archive-input.ts";
import { command } from "../command.ts";
import { checkOutput, localOwner, localSource, localTarget, packLocal, unpackHere } from "../copy/local.ts";
import {
  absolute,
  behindLink,
  type CopySource,
  type CopyTarget,
  linkTargetOf,
  planCopy,
  splitArgument,
} from "../copy/paths.ts";
import { CopyProgress } from "../copy/progress.ts";
import { CountingSink, RenamingSink, rewritten, streamOf } from "../copy/streams.ts";
import { boolFlag, stringFlag } from "../flags.ts";
import { writeAll } from "../output.ts";

const flags = {
  archive: boolFlag("Archive mode (copy all uid/gid information)", { short: "a" }),
  chown: stringFlag("Give what is copied to this user (<name|uid>[:<group|gid>])", { valueName: "user" }),
  "follow-link": boolFlag("Always follow symlinks in SRC_PATH", { short: "L" }),
  quiet: boolFlag(
    "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached",
    { short: "q" },
  ),
};

interface Settings {
  address: DaemonAddress;
  followsLink: boolean;
  toUser: boolean;
  /** `user[:group]`; "" for none. */
  owner: string;
  quiet: boolean;
}

export const cpCommand = command({
  usage: `[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-
	tsd cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH
	tsd cp [OPTIONS] CONTAINER:SRC_PATH CONTAINER:DEST_PATH`,
  summary: "Copy files/folders between a container and the local filesystem",
  aliases: ["container cp", "cp"],
  flags,
  arity: { min: 2, max: 2 },
  run: async ({ session, flags, given, positionals }) => {
    const [source, target] = positionals as [string, string];
    if (source === "") throw refused("source can not be empty");
    if (target === "") throw refused("destination can not be empty");
    const [from, to] = [splitArgument(source), splitArgument(target)];
    if (from.container === undefined && to.container === undefined) {
      throw refused("must specify at least one container source");
    }
    const { address } = await session.client();
    const settings: Settings = {
      address,
      followsLink: flags["follow-link"],
      toUser: flags.archive,
      owner: flags.chown,
      quiet: given.has("quiet") ? flags.quiet : !isTerminal(1),
    };
    if (to.container === undefined) await copyOut(settings, from as Place, to.path);
    else if (from.container === undefined) await copyIn(settings, from.path, to as Place);
    else await copyBetween(settings, from as Place, to as Place);
    return 0;
  },
});

/** A path of a container. */
interface Place {
  container: string;
  path: string;
}

async function copyOut(settings: Settings, from: Place, path: string): Promise<void> {
  const to = path === "-" ? path : absolute(path);
  checkOutput(to);
  const owner = settings.owner === "" ? "writer" : localOwner(settings.owner);
  const { source, ownName, archive } = await openSource(settings, from);
  try {
    if (to === "-") {
      for await (const piece of archive) writeAll(1, piece);
      return;
    }
    const { directory, name } = planCopy(source, localTarget(to));
    const progress = new CopyProgress("Copying from container - ", settings.quiet);
    const through = (sink: TarSink) => counted(renamed(sink, ownName, name), progress);
    await following(progress, to, () => unpackHere(archive, { directory, owner, through }));
  } finally {
    await archive.return();
  }
}

async function copyIn(settings: Settings, path: string, to: Place): Promise<void> {
  const from = path === "-" ? path : absolute(path);
  const target = await targetIn(settings, to);
  if (from === "-") {
    if (target.kind !== "directory") throw refused(`destination "${shown(to)}" must be a directory`);
    await writeArchive(settings.address, to.container, writeOptions(settings, target.path), standardInput());
    return;
  }
  const source = localSource(from, settings.followsLink);
  const { directory, name } = planCopy(source, target);
  const progress = new CopyProgress("Copying to container - ", settings.quiet);
  await following(progress, `${to.container}:${target.path}`, () => {
    const archive = packLocal(source, name, (bytes) => progress.add(bytes));
    return writeArchive(settings.address, to.container, writeOptions(settings, directory), streamOf(archive));
  });
}

async function copyBetween(settings: Settings, from: Place, to: Place): Promise<void> {
  const target = await targetIn(settings, to);
  const { source, ownName, archive } = await openSource(settings, from);
  try {
    const { directory, name } = planCopy(source, target);
    const progress = new CopyProgress("Copying between containers - ", settings.quiet);
    const through = (sink: TarSink) => counted(renamed(sink, ownName, name), progress);
    // What keeps its name, and is not counted, goes as it comes.
    const body = name === ownName && settings.quiet ? archive : rewritten(archive, through);
    await following(progress, `${to.container}:${target.path}`, () =>
      writeArchive(settings.address, to.container, writeOptions(settings, directory), streamOf(body)),
    );
  } finally {
    await archive.return();
  }
}

interface OpenSource {
  source: CopySource;
  /** What the archive itself calls it. */
  ownName: string;
  archive: AsyncGenerator<Uint8Array, void, void>;
}

async function openSource({ address, followsLink }: Settings, { container, path }: Place): Promise<OpenSource> {
  const link = followsLink ? await statPath(address, container, path) : undefined;
  const behind: { path: string; name?: string } =
    link && hasGoMode(link.mode, goModes.symlink) ? behindLink(path, linkTargetOf(path, link.linkTarget)) : { path };
  const { stat, archive } = await readArchive(address, container, behind.path);
  const isDirectory = hasGoMode(stat.mode, goModes.directory);
  return { source: { path: behind.path, isDirectory, name: behind.name ?? stat.name }, ownName: stat.name, archive };
}

/** What is at a path of a container; a symlink there is followed. */
async function targetIn({ address }: Settings, to: Place): Promise<CopyTarget> {
  let { path } = to;
  let stat: PathStatJson | undefined = await statPath(address, to.container, path);
  if (stat && hasGoMode(stat.mode, goModes.symlink)) {
    path = linkTargetOf(path, stat.linkTarget);
    stat = await statPath(address, to.container, path);
  }
  if (stat === undefined) return { path, kind: undefined };
  if (hasGoMode(stat.mode, goModes.device)) {
    throw refused(`destination "${shown(to)}" must be a directory or a regular file: got a device`);
  }
  return { path, kind: hasGoMode(stat.mode, goModes.directory) ? "directory" : "other" };
}

function writeOptions({ toUser, owner }: Settings, path: string): WriteOptions {
  return { path, toUser, ...(owner !== "" && { owner }) };
}

function renamed(sink: TarSink, from: string, to: string): TarSink {
  if (from === to) return sink;
  const [own, other] = [from, to].map((name) => Buffer.from(name).toString("latin1")) as [string, string];
  return new RenamingSink(sink, { from: own, to: other });
}

function counted(sink: TarSink, progress: CopyProgress): TarSink {
  return progress.isQuiet ? sink : new CountingSink(sink, (bytes) => progress.add(bytes));
}

async function following(progress: CopyProgress, target: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    progress.clear();
    throw error;
  }
  progress.finish(target);
}

function shown({ container, path }: Place): string {
  return `${container}:${path}`;
}

function refused(message: string): EngineError {
  return new EngineError("invalid_argument", message);
}
