/**
 * Instructions that change an image's configuration, as `--change` of commit and import has them. A Dockerfile's
 * builder applies the same ones.
 */
import { posix } from "node:path";
import { EngineError } from "../../core/errors.ts";
import { parseSignal } from "../../core/signals.ts";
import type { ImageConfigDefaults } from "../../oci/image.ts";
import { parseExposedPorts } from "./exposed-ports.ts";
import { parseHealthcheck } from "./healthcheck.ts";
import { type InstructionLine, jsonStrings, parseInstructionLines, requireArgument } from "./instruction-lines.ts";
import { expandWord, splitWords, type Variables, variablesOf } from "./words.ts";

const defaultShell = ["/bin/sh", "-c"];
/** What ONBUILD may not have behind it. */
const noTriggers = new Set(["onbuild", "from", "maintainer"]);

/** @returns a new configuration. @throws EngineError invalid_argument in docker's words. */
export function applyChanges(config: ImageConfigDefaults, changes: readonly string[]): ImageConfigDefaults {
  const lines = parseInstructionLines(changes.join("\n"));
  for (const line of lines) {
    if (!Object.hasOwn(instructions, line.name)) {
      throw new EngineError("invalid_argument", `${line.name} is not a valid change command`);
    }
  }
  const state: State = { config: { ...config }, hasCommand: false };
  for (const line of lines) instructions[line.name]!(state, line);
  return state.config;
}

interface State {
  config: ImageConfigDefaults;
  /** CMD came before: an entry point that follows leaves it. */
  hasCommand: boolean;
}

type Instruction = (state: State, line: InstructionLine) => void;

const instructions: Record<string, Instruction> = {
  cmd: (state, line) => {
    state.config.Cmd = commandLine(state.config, line);
    state.hasCommand = true;
  },
  entrypoint: (state, line) => {
    state.config.Entrypoint = commandLine(state.config, line);
    // The image's own command was for the entry point that it had.
    if (!state.hasCommand) state.config.Cmd = undefined;
  },
  env: ({ config }, line) => {
    const env = [...(config.Env ?? [])];
    for (const [name, value] of pairs(line, variables(config))) {
      const at = env.findIndex((entry) => entry === name || entry.startsWith(`${name}=`));
      env.splice(at < 0 ? env.length : at, at < 0 ? 0 : 1, `${name}=${value}`);
    }
    config.Env = env;
  },
  expose: ({ config }, line) => {
    const words = splitWords(requireArgument(line)).map((word) => expandWord(word, variables(config)));
    const ports = words.flatMap((word) => splitWords(word)).flatMap(parseExposedPorts);
    config.ExposedPorts = { ...config.ExposedPorts, ...Object.fromEntries(ports.map((port) => [port, {}])) };
  },
  healthcheck: ({ config }, line) => {
    config.Healthcheck = parseHealthcheck(line);
  },
  label: ({ config }, line) => {
    config.Labels = { ...config.Labels, ...Object.fromEntries(pairs(line, variables(config))) };
  },
  onbuild: ({ config }, line) => {
    const [trigger] = parseInstructionLines(requireArgument(line));
    if (trigger && noTriggers.has(trigger.name)) {
      throw new EngineError(
        "invalid_argument",
        trigger.name === "onbuild"
          ? "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"
          : `${trigger.name.toUpperCase()} isn't allowed as an ONBUILD trigger`,
      );
    }
    config.OnBuild = [...(config.OnBuild ?? []), line.rest];
  },
  stopsignal: ({ config }, line) => {
    const signal = oneWord(line, variables(config));
    try {
      parseSignal(signal);
    } catch (error) {
      throw new EngineError("invalid_argument", `Invalid signal: ${signal}`, { cause: error });
    }
    config.StopSignal = signal;
  },
  user: ({ config }, line) => {
    config.User = oneWord(line, variables(config));
  },
  volume: ({ config }, line) => {
    const text = requireArgument(line);
    const words = (jsonStrings(text) ?? splitWords(text)).map((word) => expandWord(word, variables(config)).trim());
    if (words.includes("")) throw new EngineError("invalid_argument", "VOLUME specified can not be an empty string");
    config.Volumes = { ...config.Volumes, ...Object.fromEntries(words.map((word) => [word, {}])) };
  },
  workdir: ({ config }, line) => {
    const path = oneWord(line, variables(config));
    config.WorkingDir = posix.resolve("/", config.WorkingDir || "/", path);
  },
};

function variables(config: ImageConfigDefaults): Variables {
  return variablesOf(config.Env ?? []);
}

/** A JSON list is the command itself, anything else a text for the shell. */
function commandLine(config: ImageConfigDefaults, line: InstructionLine): string[] {
  const list = jsonStrings(line.rest);
  if (list) return list;
  const text = requireArgument(line);
  return [...(config.Shell?.length ? config.Shell : defaultShell), text];
}

function oneWord(line: InstructionLine, known: Variables): string {
  const text = requireArgument(line);
  const name = line.name.toUpperCase();
  // What has blanks in it is one word all the same for these, as a directory's name may.
  const word = expandWord(text, known);
  if (word === "" && name !== "USER")
    throw new EngineError("invalid_argument", `${name}: empty after its variables were replaced`);
  if (name !== "WORKDIR" && splitWords(text).length > 1) {
    throw new EngineError("invalid_argument", `${name} requires exactly one argument`);
  }
  return word;
}

/** `name=value …`, or of one pair alone `name value`. */
function pairs(line: InstructionLine, known: Variables): [string, string][] {
  const text = requireArgument(line);
  const name = line.name.toUpperCase();
  const words = splitWords(text);
  if (!words[0]!.includes("=")) {
    const [, key, value] = /^(\S+)\s+([\s\S]+)$/.exec(text) ?? [];
    if (key === undefined) throw new EngineError("invalid_argument", `${name} must have two arguments`);
    return [[expandWord(key, known), expandWord(value!, known)]];
  }
  return words.map((word) => {
    const equals = word.indexOf("=");
    if (equals < 0) {
      throw new EngineError(
        "invalid_argument",
        `Syntax error - can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`,
      );
    }
    const key = expandWord(word.slice(0, equals), known);
    if (key === "") throw new EngineError("invalid_argument", `${name} names can not be blank`);
    return [key, expandWord(word.slice(equals + 1), known)];
  });
}
