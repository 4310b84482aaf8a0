/** `tsd fsck-root`, which `tsd fsck --root` starts: checks the root of a daemon that does not run. */
import { existsSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { FsckMessage } from "../api/schema/storage.ts";
import { openDatabase } from "../core/database.ts";
import { EngineError, errorMessage, isEngineError } from "../core/errors.ts";
import { setLogLevel } from "../core/log.ts";
import { Layout } from "../engine/layout.ts";
import { fsckMessages } from "../engine/storage/fsck-messages.ts";
import { checkStore } from "../image/check/check.ts";
import { ImageStore } from "../image/images.ts";
import { schemas } from "./compose.ts";
import { lockDirectory } from "./exclusive.ts";

/**
 * Writes the messages of POST /tsd/fsck to standard output. Arguments: the root, and `repair` or nothing.
 * @returns the exit status: 0 whatever was found.
 */
export async function fsckRootMain(args: string[]): Promise<number> {
  const [root = "", mode] = args;
  setLogLevel("error");
  try {
    await check(root, mode === "repair");
    return 0;
  } catch (error) {
    const { code, hint } = isEngineError(error) ? error : { code: "internal", hint: undefined };
    write({ Error: { Code: code, Message: errorMessage(error), ...(hint !== undefined && { Hint: hint }) } });
    return 1;
  }
}

async function check(root: string, repair: boolean): Promise<void> {
  const { database: path } = new Layout(root, root);
  // Else it would be made.
  if (!existsSync(path)) {
    throw new EngineError("not_found", `${root} is no root of a daemon: there is no ${join(root, "metadata.db")}`);
  }
  process.umask(0o077);
  using _lock = lockDirectory(root);
  const database = openDatabase(path, schemas);
  try {
    const store = new ImageStore({ root, database });
    for await (const message of fsckMessages(checkStore(store, { repair }))) write(message);
    await store.settled();
  } finally {
    database.close();
  }
}

function write(message: FsckMessage): void {
  writeSync(1, `${JSON.stringify(message)}\n`);
}
