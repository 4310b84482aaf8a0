/**
 * Types of structs in a short notation, so that those of a whole API stay readable:
 *
 *     "container.State": "Status string; Running Paused bool; Pid int; Health? *container.Health; ID=Id string"
 *
 * Fields of one type stand together; `?` leaves a field out of JSON when it is empty, `=` says what it is called there
 * (`Name=-`: not at all), and `...T` embeds. What is not a struct is `= []string`.
 */
import {
  boolType,
  complexType,
  type Field,
  floatType,
  type GoType,
  intType,
  jsonAny,
  type Kind,
  mapOf,
  numberType,
  pointerTo,
  sliceOf,
  stringType,
  type Traits,
} from "./types.ts";

const basics = new Map(
  [boolType, complexType, floatType, intType, numberType, stringType].map((type) => [type.name, type]),
);

export class TypeTable {
  readonly #specs: Record<string, string>;
  readonly #traits: Record<string, Traits>;
  readonly #known = new Map<string, GoType>();

  constructor(specs: Record<string, string>, traits: Record<string, Traits> = {}) {
    this.#specs = specs;
    this.#traits = traits;
  }

  /** @param name as Go writes it: `map[string]*network.EndpointSettings`. */
  type(name: string): GoType {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const made = this.#make(name);
    this.#known.set(name, made);
    return made;
  }

  #make(name: string): GoType {
    const basic = basics.get(name);
    if (basic !== undefined) return basic;
    if (name === "interface {}") return jsonAny;
    if (/^u?int\d+$|^uint$/.test(name))
      return { ...intType, name, literal: name, kind: name[0] === "u" ? "uint" : "int" };
    if (name.startsWith("*")) return pointerTo(this.type(name.slice(1)));
    if (name.startsWith("[]")) return sliceOf(this.type(name.slice(2)));
    const array = /^\[(\d+)\](.*)$/.exec(name);
    if (array) {
      const elem = this.type(array[2]!);
      return { ...sliceOf(elem), name, literal: name, kind: "array", length: Number(array[1]) };
    }
    const map = /^map\[([\w.]+)\](.*)$/.exec(name);
    if (map) return mapOf(this.type(map[2]!), this.type(map[1]!));
    return this.#named(name);
  }

  #named(name: string): GoType {
    const spec = name === "struct {}" ? "" : this.#specs[name];
    if (spec === undefined) throw new Error(`no type is called ${name}`);
    const traits = this.#traits[name] ?? {};
    if (spec.startsWith("= ")) return { ...this.type(spec.slice(2)), name, isNamed: true, traits };
    const fields: Field[] = [];
    const table = this;
    // Fields are looked at when they are needed: a type may hold pointers to its own.
    return {
      name,
      literal: name,
      kind: "struct" satisfies Kind,
      isNamed: true,
      traits,
      get fields() {
        if (fields.length === 0 && spec !== "") fields.push(...table.#fields(spec));
        return fields;
      },
    };
  }

  #fields(spec: string): Field[] {
    return spec.split("; ").flatMap((group): Field[] => {
      const [, list, typeName] = /^((?:[\w?=.-]+ )*)(.+)$/.exec(group) as unknown as [string, string, string];
      if (list === "") {
        const type = this.type(typeName.replace("...", ""));
        const name = type.name.slice(type.name.lastIndexOf(".") + 1);
        return [{ name, type, json: "", omitsEmpty: false, isEmbedded: true }];
      }
      const type = this.type(typeName);
      return list
        .trim()
        .split(" ")
        .map((word): Field => {
          const omitsEmpty = word.endsWith("?");
          const [name = "", json = name] = (omitsEmpty ? word.slice(0, -1) : word).split("=");
          return { name, type, json: json === "-" ? "" : json, omitsEmpty, isEmbedded: false };
        });
    });
  }
}
