/**
 * What removes the leftovers of testcontainers' sessions, for tests: it speaks the protocol of testcontainers' own
 * reaper, whose image is in no registry here. It runs in a container, with the daemon's socket at /var/run/docker.sock.
 *
 * A client connects to port 8080 and sends filters as lines, `label=KEY=VALUE&label=…`, each of which is answered with
 * `ACK`. When no connection is left for RYUK_RECONNECTION_TIMEOUT (a Go duration), everything that a filter matches is
 * removed: containers, networks, volumes, images. Then it ends.
 */
import { createServer } from "node:net";
import { createInterface } from "node:readline";

const unix = "/var/run/docker.sock";
const reconnectionMs = milliseconds(process.env.RYUK_RECONNECTION_TIMEOUT ?? "10s");

type Filter = Record<string, string[]>;

const filters = new Map<string, Filter>();
let connections = 0;
let timer: NodeJS.Timeout | undefined;

function milliseconds(duration: string): number {
  const [, number, unit] = /^(\d+)(ms|s)$/.exec(duration) ?? [];
  if (number === undefined) throw new Error(`RYUK_RECONNECTION_TIMEOUT: ${duration}`);
  return Number(number) * (unit === "s" ? 1000 : 1);
}

function parse(line: string): Filter {
  const filter: Filter = {};
  for (const [key, value] of new URLSearchParams(line)) filter[key] = [...(filter[key] ?? []), value];
  return filter;
}

async function request<Answer>(method: "GET" | "DELETE", path: string): Promise<Answer | undefined> {
  const answer = await fetch(`http://docker${path}`, { method, unix });
  const text = await answer.text();
  if (!answer.ok && answer.status !== 404) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return method === "GET" ? (JSON.parse(text) as Answer) : undefined;
}

async function reap(filter: Filter): Promise<void> {
  const query = `filters=${encodeURIComponent(JSON.stringify(filter))}`;
  const containers = await request<{ Id: string; Labels: Record<string, string> }[]>(
    "GET",
    `/containers/json?all=1&${query}`,
  );
  // The reaper has its session's label itself.
  const others = containers!.filter(({ Labels }) => Labels["org.testcontainers.ryuk"] !== "true");
  await Promise.all(others.map(({ Id }) => request("DELETE", `/containers/${Id}?force=1&v=1`)));
  const networks = await request<{ Id: string }[]>("GET", `/networks?${query}`);
  for (const { Id } of networks!) await request("DELETE", `/networks/${Id}`);
  const volumes = await request<{ Volumes: { Name: string }[] }>("GET", `/volumes?${query}`);
  for (const { Name } of volumes!.Volumes) await request("DELETE", `/volumes/${Name}?force=1`);
  const images = await request<{ Id: string }[]>("GET", `/images/json?${query}`);
  for (const { Id } of images!) await request("DELETE", `/images/${Id}?force=1`);
}

async function end(): Promise<never> {
  for (const filter of filters.values()) await reap(filter);
  process.exit(0);
}

const server = createServer((socket) => {
  clearTimeout(timer);
  connections++;
  createInterface({ input: socket }).on("line", (line) => {
    if (line.trim() === "") return;
    filters.set(line.trim(), parse(line.trim()));
    console.log("Adding", line.trim());
    socket.write("ACK\n");
  });
  socket.on("error", (error) => console.error(error.message));
  socket.on("close", () => {
    if (--connections === 0) timer = setTimeout(() => void end(), reconnectionMs);
  });
});
server.listen(8080, "0.0.0.0", () => console.log("Started"));
