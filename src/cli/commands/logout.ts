import { errorMessage } from "../../core/errors.ts";
import { command } from "../command.ts";
import { hostOf } from "../credentials/config-file.ts";
import { CredentialStore, dockerHubServer } from "../credentials/store.ts";
import { printError, printLine } from "../output.ts";
import { serverAddress } from "./login.ts";

export const logoutCommand = command({
  usage: "[SERVER]",
  summary: "Log out from a registry.\nIf no server is specified, the default is defined by the daemon.",
  flags: {},
  arity: { min: 0, max: 1 },
  run: async ({ session, positionals }) => {
    const server = serverAddress(positionals[0] ?? "");
    const shown = server === dockerHubServer ? server : hostOf(server);
    printLine(`Removing login credentials for ${shown}`);
    try {
      const store = new CredentialStore(session.configDirectory);
      if (!(await store.erase(server))) printError(`Not logged in to ${shown}`);
      return 0;
    } catch (error) {
      printError(`WARNING: could not erase credentials:\n${shown}: ${errorMessage(error)}`);
      return 1;
    }
  },
});
