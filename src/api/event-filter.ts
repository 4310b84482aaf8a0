/** Whether an event passes the `filters` of GET /events: names are combined with and, a name's values with or. */
import type { EventMessage } from "./schema/event.ts";
import type { Filters } from "./schema/filters.ts";

/** Objects that are named by an id or by the attribute `name`, in whole or by their beginning. */
const named = ["config", "container", "daemon", "network", "node", "plugin", "secret", "service", "volume"] as const;

export const eventFilters = [...named, "event", "image", "label", "scope", "type"] as const;

/** Actions that carry a detail after a colon (`exec_start: sh`) and are filtered by what comes before it. */
const detailed = ["health_status", "exec_create", "exec_start"];

export function passes(event: EventMessage, filters: Filters): boolean {
  const { ID, Attributes } = event.Actor;
  return (
    actionPasses(event.Action, filters.event) &&
    exact([event.Type], filters.type) &&
    exact([event.scope], filters.scope) &&
    named.every((kind) => begins([ID, Attributes.name], filters[kind])) &&
    imagePasses(event, filters.image) &&
    (filters.label ?? []).every((label) => labelled(Attributes, label))
  );
}

function actionPasses(action: string, wanted: string[] | undefined): boolean {
  return wanted?.some((value) => detailed.includes(value)) ? begins([action], wanted) : exact([action], wanted);
}

/** By id or name, with its tag or without. */
function imagePasses(event: EventMessage, wanted: string[] | undefined): boolean {
  const { ID, Attributes } = event.Actor;
  const name = Attributes[event.Type === "image" ? "name" : "image"];
  return exact([ID, name, untagged(ID), name && untagged(name)], wanted);
}

function untagged(reference: string): string {
  const name = reference.replace(/@.*$/, "");
  const colon = name.lastIndexOf(":");
  return colon > name.lastIndexOf("/") ? name.slice(0, colon) : name;
}

function labelled(attributes: Record<string, string>, label: string): boolean {
  const equals = label.indexOf("=");
  if (equals < 0) return Object.hasOwn(attributes, label);
  return attributes[label.slice(0, equals)] === label.slice(equals + 1);
}

function exact(values: (string | undefined)[], wanted: string[] | undefined): boolean {
  return !wanted?.length || wanted.some((value) => values.includes(value));
}

function begins(values: (string | undefined)[], wanted: string[] | undefined): boolean {
  return !wanted?.length || wanted.some((value) => values.some((own) => own?.startsWith(value)));
}
