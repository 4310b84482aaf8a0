/** Programs that keep credentials: docker-credential-NAME, which speaks on standard input and output. */
import { EngineError, errorMessage } from "../../core/errors.ts";
import type { Credentials } from "./config-file.ts";

/** The name under which a helper keeps an identity token in place of a password. */
const tokenUser = "<token>";

interface Answer {
  status: number;
  output: string;
}

/** @returns undefined where the program has none. @throws EngineError that names the program and what it said. */
export async function getFromHelper(name: string, server: string): Promise<Credentials | undefined> {
  const { status, output } = await call(name, "get", server);
  if (status !== 0) {
    if (/credentials not found/i.test(output)) return undefined;
    throw failed(name, "getting credentials", output);
  }
  const { Username = "", Secret = "" } = parse(name, output);
  if (typeof Username !== "string" || typeof Secret !== "string")
    throw failed(name, "getting credentials", "no strings");
  if (Username === "" && Secret === "") return undefined;
  if (Username === tokenUser) return { username: "", password: "", identityToken: Secret };
  return { username: Username, password: Secret };
}

/** The registries that the program has credentials for. @throws EngineError. */
export async function listFromHelper(name: string): Promise<string[]> {
  const { status, output } = await call(name, "list", "");
  if (status !== 0) throw failed(name, "listing credentials", output);
  return Object.keys(parse(name, output));
}

/** @throws EngineError. */
export async function storeWithHelper(name: string, server: string, credentials: Credentials): Promise<void> {
  const { username, password, identityToken } = credentials;
  const [Username, Secret] = identityToken === undefined ? [username, password] : [tokenUser, identityToken];
  const { status, output } = await call(name, "store", JSON.stringify({ ServerURL: server, Username, Secret }));
  if (status !== 0) throw failed(name, "storing credentials", output);
}

/** What is not there is erased. @throws EngineError. */
export async function eraseWithHelper(name: string, server: string): Promise<void> {
  const { status, output } = await call(name, "erase", server);
  if (status !== 0 && !/credentials not found/i.test(output)) throw failed(name, "erasing credentials", output);
}

async function call(name: string, verb: string, input: string): Promise<Answer> {
  const program = `docker-credential-${name}`;
  if (name.includes("/"))
    throw new EngineError("invalid_argument", `credential helper ${JSON.stringify(name)}: no name`);
  const path = findProgram(program);
  if (path === null) {
    throw new EngineError("not_found", `error getting credentials: ${program}: executable file not found in $PATH`, {
      hint: "install it, or take it out of credsStore and credHelpers in docker's config.json",
    });
  }
  // What it says to the user, it says on standard error.
  const child = Bun.spawn([path, verb], { stdin: "pipe", stdout: "pipe", stderr: "inherit", env: process.env });
  try {
    child.stdin.write(input);
    await child.stdin.end();
  } catch (error) {
    // It did not want to read: its status says why.
    if ((error as { code?: string }).code !== "EPIPE") throw failed(name, verb, errorMessage(error));
  }
  const [output, status] = await Promise.all([new Response(child.stdout).text(), child.exited]);
  return { status, output: output.trim() };
}

/** Bun looks through the PATH that it was started with, unless it is told another. */
export function findProgram(name: string): string | null {
  return Bun.which(name, { PATH: process.env.PATH ?? "" });
}

function parse(name: string, output: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(output);
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch (error) {
    throw failed(name, "reading its answer", errorMessage(error));
  }
  throw failed(name, "reading its answer", "no JSON object");
}

function failed(name: string, doing: string, output: string): EngineError {
  return new EngineError("unauthorized", `error ${doing}: docker-credential-${name}: ${output || "it says no reason"}`);
}
