/** `tsd hello-report`: what the image `hello` runs. It prints how the container that it runs in is confined. */
import { formatCard } from "./card.ts";
import { readFacts } from "./facts.ts";

/** @returns the exit status: 2 for arguments that it does not know. */
export async function reportMain(args: string[]): Promise<number> {
  const json = args.length === 2 && args[0] === "--format" && args[1] === "json";
  if (args.length > 0 && !json) {
    process.stderr.write("usage: hello-report [--format json]\n");
    return 2;
  }
  const facts = readFacts();
  const bold = process.stdout.isTTY === true && process.env.NO_COLOR === undefined && process.env.TERM !== "dumb";
  const text = json ? JSON.stringify(facts, null, 2) : formatCard(facts, { bold });
  await new Promise<void>((resolve, reject) => {
    process.stdout.write(`${text}\n`, (error) => (error ? reject(error) : resolve()));
  });
  return 0;
}
