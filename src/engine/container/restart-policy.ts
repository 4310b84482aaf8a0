/** `--restart`, judged as Docker does. Nobody acts on it yet, which whoever asks for one is told. */
import type { RestartPolicy } from "../../api/schema/container-config.ts";
import { EngineError } from "../../core/errors.ts";

const names = ["no", "always", "on-failure", "unless-stopped"];

/** @throws EngineError invalid_argument in docker's words. */
export function checkRestartPolicy({ Name = "", MaximumRetryCount = 0 }: RestartPolicy): void {
  // Clients before Docker 25 sent any count with an empty name.
  if (Name === "") return;
  if (!names.includes(Name)) {
    throw invalid(`unknown policy '${Name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`);
  }
  const negative = MaximumRetryCount < 0;
  if (Name === "on-failure" && negative) throw invalid("maximum retry count cannot be negative");
  if (Name !== "on-failure" && MaximumRetryCount !== 0) {
    const also = negative ? " and cannot be negative" : "";
    throw invalid(`maximum retry count can only be used with 'on-failure'${also}`);
  }
}

/** Whether a container that has ended is to be started again under some condition. */
export function restarts({ Name = "" }: RestartPolicy = {}): boolean {
  return Name !== "" && Name !== "no";
}

/** What `create` and `update` answer beside the policy that they have stored. */
export function restartWarnings(policy: RestartPolicy | undefined): string[] {
  if (!restarts(policy)) return [];
  return [
    `The restart policy ${policy!.Name} is kept in the container's configuration, and is not acted on in this version of tsd.`,
  ];
}

function invalid(reason: string): EngineError {
  return new EngineError("invalid_argument", `invalid restart policy: ${reason}`, { stage: "create" });
}
