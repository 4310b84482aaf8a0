import { dial } from "../../client/hijack.ts";
import { standardInput } from "../archive-input.ts";
import { command, noArguments } from "../command.ts";
import { writeAll } from "../output.ts";

/** What a client on another machine runs here through ssh, to speak to this machine's daemon. */
export const systemDialStdioCommand = command({
  usage: "",
  summary: "Proxy the stdio stream to the daemon connection. Should not be invoked manually.",
  flags: {},
  arity: noArguments,
  run: async ({ session }) => {
    const { address } = await session.client();
    const connection = await dial(address);
    const sending = (async () => {
      for await (const chunk of standardInput()) await connection.write(chunk);
      connection.end();
    })();
    const receiving = connection.read((chunk) => writeAll(1, chunk));
    // The daemon's end is the end, whoever still types.
    await Promise.race([receiving, sending.then(() => receiving)]);
    return 0;
  },
});
