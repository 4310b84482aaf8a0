import { isTerminal } from "../../../ffi/pty.ts";
import { checkAuth } from "../../client/registry.ts";
import { EngineError, errorMessage, isEngineError } from "../../core/errors.ts";
import { command } from "../command.ts";
import { type Credentials, hostOf } from "../credentials/config-file.ts";
import { authConfig } from "../credentials/registry-auth.ts";
import { CredentialStore, dockerHubServer } from "../credentials/store.ts";
import { boolFlag, type ParsedFlags, stringFlag } from "../flags.ts";
import { printError, printLine } from "../output.ts";
import { askLine, askSecret, readInput } from "../prompt.ts";
import type { Session } from "../session.ts";

const flags = {
  password: stringFlag("Password or Personal Access Token (PAT)", { short: "p" }),
  "password-stdin": boolFlag("Take the Password or Personal Access Token (PAT) from stdin"),
  username: stringFlag("Username", { short: "u" }),
};

interface Given {
  username: string;
  password: string;
}

export const loginCommand = command({
  usage: "[OPTIONS] [SERVER]",
  summary: "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
  flags,
  arity: { min: 0, max: 1 },
  run: async ({ session, flags: values, given, positionals }) => {
    checkFlags(values, given);
    const server = serverAddress(positionals[0] ?? "");
    const wanted: Given = { username: values.username, password: values.password };
    if (given.has("password")) {
      printError("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    }
    if (values["password-stdin"]) wanted.password = await readInput();
    if (values["password-stdin"] && wanted.password === "")
      throw new EngineError("invalid_argument", "password is empty");
    const store = new CredentialStore(session.configDirectory);
    if (wanted.username === "" && wanted.password === "") {
      const known = await store.get(server);
      if (known !== undefined && (await loginAsBefore(session, store, server, known))) return 0;
    }
    const credentials = ask(server, wanted, (await store.get(server))?.username ?? "");
    await login(session, store, server, credentials);
    return 0;
  },
});

/** Docker's words for what does not go together. */
function checkFlags(values: Given & { "password-stdin": boolean }, given: ParsedFlags<typeof flags>["given"]): void {
  const refuse = (message: string) => {
    throw new EngineError("invalid_argument", message);
  };
  if (values["password-stdin"]) {
    if (given.has("password")) refuse("conflicting options: cannot specify both --password and --password-stdin");
    if (!given.has("username")) refuse("the --password-stdin option requires --username to be set");
  }
  if (given.has("username") && values.username === "") refuse("username is empty");
  if (given.has("password") && values.password === "") refuse("password is empty");
}

export function serverAddress(text: string): string {
  const host = hostOf(text);
  return ["", "docker.io", "index.docker.io"].includes(host) ? dockerHubServer : host;
}

/** @returns false when they are not accepted any more. */
async function loginAsBefore(
  session: Session,
  store: CredentialStore,
  server: string,
  known: Credentials,
): Promise<boolean> {
  const who = known.username === "" ? "" : ` [Username: ${known.username}]`;
  printLine(`Authenticating with existing credentials...${who}`);
  try {
    const { Status, IdentityToken } = await checkAuth(await session.client(), authConfig(server, known));
    if (IdentityToken) await store.store(server, { ...known, password: "", identityToken: IdentityToken });
    printLine(Status);
    const again = `run '${session.program} logout' followed by '${session.program} login'`;
    printError(`\ni Info → To login with a different account, ${again}\n`);
    return true;
  } catch (error) {
    if (!isEngineError(error, "unauthorized")) throw error;
    printError(`Login did not succeed, error: ${errorMessage(error)}`);
    return false;
  }
}

async function login(
  session: Session,
  store: CredentialStore,
  server: string,
  credentials: Credentials,
): Promise<void> {
  const { Status, IdentityToken } = await checkAuth(await session.client(), authConfig(server, credentials));
  const kept: Credentials = IdentityToken
    ? { ...credentials, password: "", identityToken: IdentityToken }
    : credentials;
  const { plainFile } = await store.store(server, kept);
  if (plainFile !== undefined) {
    printError(
      `\nWARNING! Your credentials are stored unencrypted in '${plainFile}'.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n`,
    );
  }
  if (Status !== "") printLine(Status);
}

/** @throws EngineError where nobody is there to be asked. */
function ask(server: string, { username, password }: Given, known: string): Credentials {
  if (username !== "" && password !== "") return { username, password };
  if (!isTerminal(0)) {
    throw new EngineError("invalid_argument", "Error: Cannot perform an interactive login from a non TTY device", {
      hint: "use --username and --password-stdin",
    });
  }
  if (server === dockerHubServer && username === "") {
    printLine("Log in with your Docker ID or email address to push and pull images from Docker Hub.");
    printLine("In place of the password a Personal Access Token can be used: https://app.docker.com/settings\n");
  }
  const name = username || askLine(known === "" ? "Username: " : `Username (${known}): `)?.trim() || known;
  if (name === "") throw new EngineError("invalid_argument", "Error: Non-null Username Required");
  const secret = password || (askSecret("Password: ") ?? "");
  if (secret === "") throw new EngineError("invalid_argument", "Error: Password Required");
  return { username: name, password: secret };
}
