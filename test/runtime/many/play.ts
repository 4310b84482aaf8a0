import { join } from "node:path";
import { runIsolated } from "../../harness/isolated.ts";

/** @throws with what was left. */
export async function playMany(containers: number, kills: number, races: number, timeoutMs: number): Promise<void> {
  const words = [join(import.meta.dir, "main.ts"), ...[containers, kills, races].map(String)];
  const { status, stdout, stderr } = await runIsolated(words, timeoutMs);
  for (const line of stdout.split("\n")) if (line.startsWith("note: ")) console.log(line);
  if (status !== 0) throw new Error(`exit status ${status}\n${stdout}${stderr}`);
}
