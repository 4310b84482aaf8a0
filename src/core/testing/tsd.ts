import { join } from "node:path";

const { TSD_EXECUTABLE: executable } = process.env;

/**
 * For tests: the words that start tsd as a process of its own. From source, which needs nothing to be built; with
 * TSD_EXECUTABLE the built one, which is there four times as fast.
 */
export const tsdCommand: readonly string[] =
  executable === undefined ? [process.execPath, join(import.meta.dir, "../../main.ts")] : [executable];
