import { EngineError, wrapError } from "../../core/errors.ts";
import { command } from "../command.ts";

export const renameCommand = command({
  usage: "CONTAINER NEW_NAME",
  summary: "Rename a container",
  aliases: ["container rename", "rename"],
  flags: {},
  arity: { min: 2, max: 2 },
  run: async ({ session, positionals }) => {
    const [name, newName] = positionals as [string, string];
    if (newName === "") throw new EngineError("invalid_argument", "new name cannot be blank");
    const client = await session.client();
    try {
      await client.renameContainer(name, newName);
    } catch (error) {
      throw wrapError(error, "failed to rename container");
    }
    return 0;
  },
});
