/** What the daemon tells the resolver: the sandboxes that ask it, and the names that there are. */

/** A sandbox whose container asks 127.0.0.11. */
export interface ServedSandbox {
  sandboxId: string;
  /** Where its network namespace is opened: `/proc/<pid>/fd/<n>`, `/proc/<pid>/ns/net`. */
  namespacePath: string;
  /**
   * `--dns`: asked from within the sandbox, for they may be other containers, or the container itself. None: the
   * host's, asked from where the daemon is.
   */
  servers: readonly string[];
  /**
   * `--dns-option ndots:N` with N above 0: names without a dot are only ever meant to be completed by `--dns-search`,
   * so they are never asked outside.
   */
  keepsSingleLabels?: boolean;
}

/** A link: a name that one sandbox alone finds a container by. */
export interface EndpointLink {
  alias: string;
  /** Of the other container, which need not run yet. */
  containerId: string;
}

/** A container's place on a network, and how it is found there. */
export interface EndpointNames {
  endpointId: string;
  sandboxId: string;
  containerId: string;
  networkId: string;
  /** `web.NETWORK` is known as well. */
  networkName: string;
  /** The network is internal: a sandbox on no other kind asks nobody outside. */
  internal: boolean;
  /** The container's name first, by which PTR questions are answered. None on the default bridge, which has no names. */
  names: readonly string[];
  /** Without prefix length. */
  ipv4?: string;
  ipv6?: string;
  links?: readonly EndpointLink[];
}

/** One thing that the resolver is told. What was told before of the same sandbox or endpoint is replaced. */
export type Change =
  | { change: "serve"; sandbox: ServedSandbox }
  | { change: "release"; sandboxId: string }
  | { change: "set"; endpoint: EndpointNames }
  | { change: "remove"; endpointId: string };

/** Raised with every change of what is said. */
export const resolverProtocol = 1;

/** Requests: `apply` does the changes in their order; `replace` forgets all that is not among them. */
export interface ChangesRequest {
  changes: readonly Change[];
}

/** For each change: null, or why it could not be done. */
export interface ChangesAnswer {
  errors: (string | null)[];
}
