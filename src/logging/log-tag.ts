/**
 * The option `tag`: a Go template over what docker's drivers know of a container (moby, daemon/logger, Info). Understood are
 * its fields, alone, and `index .ContainerLabels "name"`.
 */
import { EngineError } from "../core/errors.ts";

/** docker's tag of drivers that always have one: twelve digits of the container's id. */
export const defaultTag = "{{.ID}}";

export interface TagFields {
  ID: string;
  FullID: string;
  Name: string;
  ImageID: string;
  ImageFullID: string;
  ImageName: string;
  Hostname: string;
  Command: string;
  DaemonName: string;
}

const fields: ReadonlySet<string> = new Set<keyof TagFields>([
  ...(["ID", "FullID", "Name", "ImageID", "ImageFullID", "ImageName", "Hostname", "Command", "DaemonName"] as const),
]);
const aliases: Readonly<Record<string, keyof TagFields>> = {
  ContainerID: "FullID",
  ContainerImageID: "ImageFullID",
  ContainerImageName: "ImageName",
};

/** @throws EngineError invalid_argument for a template that tsd does not understand. */
export function checkTag(template: string): void {
  expand(template, () => "");
}

/** @throws EngineError as `checkTag`. */
export function logTag(template: string, container: TagFields, labels: Readonly<Record<string, string>>): string {
  return expand(template, (action) => ("label" in action ? (labels[action.label] ?? "") : container[action.field]));
}

type Action = { field: keyof TagFields } | { label: string };

function expand(template: string, value: (action: Action) => string): string {
  const text = template.replace(/\{\{(-?\s)?(.*?)(\s-?)?\}\}/gs, (_, _left, action: string) =>
    value(parse(action, template)),
  );
  if (/\{\{/.test(template.replace(/\{\{.*?\}\}/gs, ""))) throw refused(template, "unclosed action");
  return text;
}

function parse(action: string, template: string): Action {
  const [, name] = /^\s*\.(\w+)\s*$/.exec(action) ?? [];
  const [, label] = /^\s*index\s+\.ContainerLabels\s+("(?:[^"\\]|\\.)*")\s*$/.exec(action) ?? [];
  if (label !== undefined) return { label: JSON.parse(label) as string };
  if (name !== undefined && fields.has(name)) return { field: name as keyof TagFields };
  if (name !== undefined && Object.hasOwn(aliases, name)) return { field: aliases[name]! };
  throw refused(template, `{{${action}}} is none of ${[...fields].map((field) => `.${field}`).join(", ")}`);
}

function refused(template: string, reason: string): EngineError {
  return new EngineError("invalid_argument", `invalid value for option tag: ${JSON.stringify(template)}: ${reason}`, {
    stage: "create",
  });
}
