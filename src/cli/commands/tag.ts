import { EngineError, errorMessage } from "../../core/errors.ts";
import { parseAnyReference, parseRepository, type Reference, repositoryName } from "../../oci/reference.ts";
import { command } from "../command.ts";

export const tagCommand = command({
  usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
  summary: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
  aliases: ["image tag", "tag"],
  flags: {},
  arity: { min: 2, max: 2 },
  interspersed: false,
  run: async ({ session, positionals }) => {
    const [source, target] = positionals as [string, string];
    parsed(source, parseAnyReference);
    const reference: Reference = parsed(target, parseRepository);
    if (reference.digest !== undefined) {
      throw new EngineError("invalid_argument", "refusing to create a tag with a digest reference");
    }
    const { tag = "latest" } = reference;
    await (await session.client()).tagImage(source, { repo: repositoryName(reference), tag });
    return 0;
  },
});

function parsed<T>(text: string, parse: (text: string) => T): T {
  try {
    return parse(text);
  } catch (error) {
    const reason = errorMessage(error);
    throw new EngineError(
      "invalid_argument",
      `Error parsing reference: ${JSON.stringify(text)} is not a valid repository/tag: ${reason}`,
    );
  }
}
