/**
 * A name server for tests: `bun name-server.ts ADDRESS SAYS` answers on port 53 whatever it is asked with the address
 * SAYS, and prints each name that it is asked for. By the name's first word it does otherwise: `dead` is not answered,
 * `slow` after 1.5 s, `long` with sixty addresses, which UDP has no room for, `none` does not exist.
 */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { decode, encode } from "dns-packet";

const [address, says] = process.argv.slice(2) as [string, string];
const flags = { found: 0x180, cut: 0x380, none: 0x183 };

/** @returns undefined for no answer. */
async function answerTo(packet: Buffer, overTcp: boolean): Promise<Buffer | undefined> {
  const { id, questions } = decode(packet);
  const [question] = questions!;
  process.stdout.write(`${question!.name}\n`);
  const behaviour = /^[a-z]+/.exec(question!.name)?.[0];
  if (behaviour === "dead") return undefined;
  if (behaviour === "slow") await Bun.sleep(1_500);
  const data = behaviour === "long" ? Array.from({ length: 60 }, (_, n) => `198.51.100.${n}`) : [says];
  const isCut = behaviour === "long" && !overTcp;
  const isFound = behaviour !== "none" && !isCut && question!.type === "A";
  return encode({
    type: "response",
    id: id!,
    flags: isCut ? flags.cut : behaviour === "none" ? flags.none : flags.found,
    questions: questions!,
    answers: isFound ? data.map((each) => ({ name: question!.name, type: "A", ttl: 60, data: each })) : [],
  });
}

const udp = createSocket("udp4");
udp.on("message", async (packet, { port, address: from }) => {
  const answer = await answerTo(packet, false);
  if (answer !== undefined) udp.send(answer, port, from);
});
const tcp = createServer((connection) => {
  connection.on("error", () => connection.destroy());
  connection.on("data", async (data: Buffer) => {
    const answer = await answerTo(data.subarray(2), true);
    if (answer === undefined) return;
    connection.write(Buffer.concat([Uint8Array.of(answer.length >> 8, answer.length & 255), answer]));
  });
});
await new Promise<void>((resolve) => udp.bind(53, address, resolve));
await new Promise<void>((resolve) => tcp.listen(53, address, resolve));
process.stdout.write("ready\n");
