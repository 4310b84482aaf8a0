/** What docker's types of a container's modes can be asked: `{{.HostConfig.NetworkMode.IsHost}}`. */
import { boolType, type Method, stringType, type Traits, Value } from "../template/types.ts";

function says(holds: (mode: string) => boolean): Method {
  return { parameters: [], call: (mode) => new Value(boolType, holds(mode as string)) };
}

function tells(text: (mode: string) => string): Method {
  return { parameters: [], call: (mode) => new Value(stringType, text(mode as string)) };
}

const isOneOf = (...modes: string[]) => says((mode) => modes.includes(mode));
const isContainer = says((mode) => /^container:/.test(mode));
const containerOf = tells((mode) => (/^container:/.test(mode) ? mode.slice("container:".length) : ""));
const ownNetworks = ["default", "bridge", "host", "none"];
const isOfUser = (mode: string) => !ownNetworks.includes(mode) && !/^container:/.test(mode);

const networkMode: Traits = {
  methods: {
    IsBridge: isOneOf("bridge"),
    IsContainer: isContainer,
    IsDefault: isOneOf("default"),
    IsHost: isOneOf("host"),
    IsNone: isOneOf("none"),
    IsPrivate: says((mode) => mode !== "host" && !/^container:/.test(mode)),
    IsUserDefined: says(isOfUser),
    ConnectedContainer: containerOf,
    NetworkName: tells((mode) => (/^container:/.test(mode) ? "container" : mode)),
    UserDefined: tells((mode) => (isOfUser(mode) ? mode : "")),
  },
};

/** Of pid, uts and user namespaces. */
const namespaceMode: Traits = {
  methods: {
    IsHost: isOneOf("host"),
    IsPrivate: says((mode) => mode !== "host" && !/^container:/.test(mode)),
    IsContainer: isContainer,
    Container: containerOf,
    Valid: says(() => true),
  },
};

const ipcMode: Traits = {
  methods: {
    IsPrivate: isOneOf("private"),
    IsHost: isOneOf("host"),
    IsShareable: isOneOf("shareable"),
    IsContainer: isContainer,
    IsNone: isOneOf("none"),
    IsEmpty: isOneOf(""),
    Container: containerOf,
    Valid: says(() => true),
  },
};

const cgroupnsMode: Traits = {
  methods: {
    IsPrivate: isOneOf("private"),
    IsHost: isOneOf("host"),
    IsEmpty: isOneOf(""),
    Valid: isOneOf("", "private", "host"),
  },
};

function ofPolicy(holds: (name: string) => boolean): Method {
  return { parameters: [], call: (policy) => new Value(boolType, holds((policy as { Name?: string }).Name ?? "")) };
}

const restartPolicy: Traits = {
  methods: {
    IsNone: ofPolicy((name) => name === "no" || name === ""),
    IsAlways: ofPolicy((name) => name === "always"),
    IsOnFailure: ofPolicy((name) => name === "on-failure"),
    IsUnlessStopped: ofPolicy((name) => name === "unless-stopped"),
  },
};

const isolation: Traits = {
  methods: {
    IsDefault: says((mode) => mode === "" || mode.toLowerCase() === "default"),
    IsHyperV: says((mode) => mode.toLowerCase() === "hyperv"),
    IsProcess: says((mode) => mode.toLowerCase() === "process"),
  },
};

/** `80/tcp` */
const port: Traits = {
  methods: {
    Port: tells((text) => text.split("/")[0]!),
    Proto: tells((text) => text.split("/")[1] ?? "tcp"),
    Int: {
      parameters: [],
      call: (text) =>
        new Value({ ...boolType, name: "int", literal: "int", kind: "int" }, Number.parseInt(text as string, 10) || 0),
    },
  },
};

export const modeTraits: Record<string, Traits> = {
  "container.NetworkMode": networkMode,
  "container.PidMode": namespaceMode,
  "container.UTSMode": namespaceMode,
  "container.UsernsMode": namespaceMode,
  "container.IpcMode": ipcMode,
  "container.CgroupnsMode": cgroupnsMode,
  "container.RestartPolicy": restartPolicy,
  "container.Isolation": isolation,
  "nat.Port": port,
};
