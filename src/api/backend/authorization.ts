/** What an authorization plugin is told, in Docker's names; what is empty is left out. */
export interface AuthorizationMessage {
  RequestMethod: string;
  /** Path and query, with the version that the client wrote. */
  RequestUri: string;
  RequestHeaders?: Record<string, string>;
  /** Of JSON alone. */
  RequestBody?: Uint8Array;
  /** This and what follows: once there is an answer. */
  ResponseStatusCode?: number;
  ResponseHeaders?: Record<string, string>;
  ResponseBody?: Uint8Array;
}

export interface Verdict {
  isAllowed: boolean;
  /** The plugin's words. */
  reason: string;
}

/** Says of each request whether it may be served, and of each answer whether it may be given. */
export interface AuthorizationPlugin {
  readonly name: string;
  /** @throws EngineError when it does not answer, or its answer cannot be used. */
  judge(phase: "request" | "response", message: AuthorizationMessage, signal: AbortSignal): Promise<Verdict>;
}
