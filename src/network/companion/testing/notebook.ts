/** For tests: a companion that keeps words. Started as `bun notebook.ts PROTOCOL --socket PATH --log-level LEVEL`. */
import { EngineError } from "../../../core/errors.ts";
import { companionMain } from "../main.ts";

const words = new Set<string>();
const [protocol, ...args] = process.argv.slice(2);

process.exitCode = await companionMain(
  {
    mode: "proxy",
    protocol: Number(protocol),
    open: () => ({
      get isIdle() {
        return words.size === 0;
      },
      answer(request, parameters) {
        const { word = "" } = parameters as { word?: string };
        if (request === "refuse")
          throw new EngineError("conflict", `the word ${word} is taken`, { hint: "say another" });
        if (request === "die") process.kill(process.pid, "SIGKILL");
        if (request === "replace") {
          words.clear();
          for (const each of (parameters as { words: string[] }).words) words.add(each);
        }
        if (request === "write") words.add(word);
        if (request === "erase") words.delete(word);
        return { words: [...words], pid: process.pid };
      },
    }),
  },
  args,
);
