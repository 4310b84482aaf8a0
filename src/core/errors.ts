/**
 * The engine's own error: one class, a closed set of codes, a message that names the object.
 *
 * Messages are lower case, have no final period, and carry the object's name or path. The codes are the
 * vocabulary of every layer; two tables elsewhere translate them, one to HTTP (src/api/errors.ts) and one
 * to exit statuses (src/cli/exit-status.ts). Nothing else classifies errors.
 */
export type ErrorCode =
  | "invalid_argument" // the request or a file is wrong; the message names the field
  | "not_found"
  | "already_exists" // a name or an id is taken
  | "conflict" // the object's state forbids it now
  | "not_modified" // it is already so (start of a started container)
  | "unauthorized" // the registry or the daemon refused the credentials
  | "forbidden"
  | "unavailable" // a registry or a daemon does not answer
  | "unsupported" // this kernel, or this version of tsd, cannot do it
  | "corrupt" // digest or size mismatch, damaged state
  | "no_space"
  | "cancelled"
  | "timeout"
  | "command_not_found" // exit status 127
  | "command_not_executable" // exit status 126
  | "internal";

/** What an error may carry beside its message; each is shown to users under its own name. */
export interface ErrorDetails {
  /** What was being done when it failed: "pull", "create", "mount". */
  stage?: string;
  /** The system call that the kernel refused. */
  syscall?: string;
  /** The kernel's answer by name, for example ENOSPC. */
  errno?: string;
  /** The file or object that the call was about. */
  path?: string;
  /** One line of advice. */
  hint?: string;
  cause?: unknown;
}

export class EngineError extends Error {
  override readonly name = "EngineError";
  readonly code: ErrorCode;
  readonly stage: string | undefined;
  readonly syscall: string | undefined;
  readonly errno: string | undefined;
  readonly path: string | undefined;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    const kernel = kernelDetails(details.cause);
    this.code = code;
    this.stage = details.stage ?? inherited(details.cause, "stage");
    this.syscall = details.syscall ?? kernel.syscall;
    this.errno = details.errno ?? kernel.errno;
    this.path = details.path ?? kernel.path;
    this.hint = details.hint ?? inherited(details.cause, "hint");
  }
}

/** True for an EngineError, of that code when one is given. */
export function isEngineError(error: unknown, code?: ErrorCode): error is EngineError {
  return error instanceof EngineError && (code === undefined || error.code === code);
}

/** The message of anything that was thrown. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** True when a kernel call failed with that errno, whether Node's fs or ffi/ made it. */
export function isErrno(error: unknown, ...names: string[]): boolean {
  const { errno } = kernelDetails(error);
  return errno !== undefined && names.includes(errno);
}

/** True when the kernel refused a call, whoever made it: no defect, but a file or a disk that is not as it should be. */
export function isKernelError(error: unknown): error is Error {
  return kernelDetails(error).errno !== undefined;
}

/**
 * Wraps whatever was thrown into an EngineError that says what was being done: `create container x: <reason>`.
 * The code and details of an inner EngineError are kept; a full disk is recognised as such.
 */
export function wrapError(error: unknown, doing: string, details: ErrorDetails = {}): EngineError {
  const { errno } = kernelDetails(error);
  const inDatabase = databaseCode(error);
  // SQLite's own word for ENOSPC: https://www.sqlite.org/rescode.html#full
  const isFull = errno === "ENOSPC" || errno === "EDQUOT" || inDatabase === "SQLITE_FULL";
  const code = isEngineError(error) ? error.code : isFull ? "no_space" : "internal";
  // Its messages do not say whose database it is.
  const reason = inDatabase === undefined ? errorMessage(error) : `metadata database: ${errorMessage(error)}`;
  return new EngineError(code, `${doing}: ${reason}`, { ...details, cause: error });
}

/** SQLite's name for what went wrong, when it was SQLite: `SQLITE_FULL`. */
function databaseCode(error: unknown): string | undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" && code.startsWith("SQLITE_") ? code : undefined;
}

function inherited(cause: unknown, field: "stage" | "hint"): string | undefined {
  return cause instanceof EngineError ? cause[field] : undefined;
}

/** Reads syscall, errno and path from an EngineError, ffi's SyscallError or Node's ErrnoException: all use these names. */
function kernelDetails(error: unknown): { syscall?: string; errno?: string; path?: string } {
  if (!(error instanceof Error)) return {};
  const fields = error as { syscall?: unknown; code?: unknown; errno?: unknown; path?: unknown };
  const name = typeof fields.errno === "string" ? fields.errno : fields.code;
  return {
    ...(typeof fields.syscall === "string" && { syscall: fields.syscall }),
    ...(typeof name === "string" && /^E[A-Z0-9]+$/.test(name) && { errno: name }),
    ...(typeof fields.path === "string" && { path: fields.path }),
  };
}
