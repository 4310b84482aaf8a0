import { print } from "./output.ts";
import { TemplateError } from "./template/error.ts";
import type { Template } from "./template/execute.ts";

/** Prints one of docker's own structures through a template. @throws TemplateError in docker's bare words, beneath a line. */
export async function printTyped(template: Template, type: string, json: object): Promise<void> {
  const { dockerValue } = await import("./docker-types/docker-types.ts");
  try {
    print(`${template.execute(dockerValue(type, json))}\n`);
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    print("\n");
    throw error.withPrefix("");
  }
}
