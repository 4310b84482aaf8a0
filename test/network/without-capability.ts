/**
 * `bun without-capability.ts NAME PROGRAM ARG…` becomes the program, which has all capabilities but that one and cannot
 * get it: execve(2) gives root what is in the bounding set (capabilities(7)).
 */
import { isCapabilityName } from "../../ffi/capability.ts";
import { capabilityNumbers } from "../../ffi/constants/capability.ts";
import { PR_CAPBSET_DROP } from "../../ffi/constants/process.ts";
import { call } from "../../ffi/syscall.ts";

const [name = "", program = "", ...args] = process.argv.slice(2);
if (!isCapabilityName(name)) throw new Error(`${JSON.stringify(name)} is no capability`);
call("prctl", `PR_CAPBSET_DROP ${name}`, PR_CAPBSET_DROP, capabilityNumbers[name], 0, 0, 0);
process.execve!(program, [program, ...args], process.env);
