import { describe, expect, test } from "bun:test";
import { explainAsText, explainPlan } from "../plan/explain.ts";
import { initPlan } from "./plan.ts";

describe("the plan of the init", () => {
  test("is what an init does", () => {
    expect(explainAsText(initPlan({ name: "tool", path: "/usr/bin::/opt/bin" }))).toBe(expected);
  });

  test("tries a name with a slash nowhere else", () => {
    const { records } = explainPlan(initPlan({ name: "bin/tool", path: "/usr/bin:/bin" }));
    const attempts = records.filter(({ call }) => call === "execve").map((record) => record.text);
    expect(attempts).toEqual([`execve("bin/tool", $argv, $envp)`]);
  });
});

const expected = `
# the arguments
   0 $argv = load &given
   1 $envp = load &given+8
   2 verify $argv == 0 ? 0 : 1, 0 → no command

# the program's process
   3 rt_sigprocmask(SIG_SETMASK, <all signals but those of faults>, &former, 8), else → no process
   4 $child = clone(SIGCHLD, 0, 0, 0, 0), the child goes to the program, else → no process

# signals
     wait:
   5 $signal = rt_sigtimedwait(<all signals but those of faults>, NULL, NULL, 8), else → reap
   6 verify &$signal == SIGCHLD ? 0 : 1, 0 → reap
   7 kill($child, $signal), else → reap

# orphans
     reap:
   8 $pid = wait4(-1, &status, WNOHANG, NULL), 0 → wait, else → wait
   9 verify &$pid == $child ? 0 : 1, 0 → the program has ended → reap

# the status
     the program has ended:
  10 verify &status & 127 == 0 ? 0 : 1, 0 → it was not a signal
  11 \${128 + n} = load (&status & 127) + 128
  12 exit_group(\${128 + n})
     it was not a signal:
  13 $code = load &status+1 & 255
  14 exit_group($code)

# job control
     the program:
  15 setpgid(0, 0), else → in a group
     in a group:
  16 $group = getpid()
  17 ioctl(0, TIOCSPGRP, {group: $group}), else → no terminal
     no terminal:
  18 rt_sigprocmask(SIG_SETMASK, &former, NULL, 8)

# the program
  19 $19 = execve("/usr/bin/tool", $argv, $envp), or ENOENT, ENOTDIR, EACCES, ENAMETOOLONG, else → not executable
  20 $20 = execve("./tool", $argv, $envp), or ENOENT, ENOTDIR, EACCES, ENAMETOOLONG, else → not executable
  21 $21 = execve("/opt/bin/tool", $argv, $envp), or ENOENT, ENOTDIR, EACCES, ENAMETOOLONG, else → not executable
  22 verify &$19 == -EACCES ? 0 : 1, 0 → not permitted
  23 verify &$20 == -EACCES ? 0 : 1, 0 → not permitted
  24 verify &$21 == -EACCES ? 0 : 1, 0 → not permitted
  25 write(2, "tsd-init: cannot execute tool: not found\\n", 41), else → status 127
     status 127:
  26 exit_group(127)
     not permitted:
  27 write(2, "tsd-init: cannot execute tool: permission denied\\n", 49), else → status 126
     status 126:
  28 exit_group(126)
     not executable:
  29 write(2, "tsd-init: cannot execute tool\\n", 30), else → status 126
     status 126:
  30 exit_group(126)

# nothing was started
     no command:
  31 write(2, "tsd-init: no command\\n", 21), else → status 125
     status 125:
  32 exit_group(125)
     no process:
  33 write(2, "tsd-init: cannot make a process\\n", 32), else → status 125
     status 125:
  34 exit_group(125)

# a call failed
  35 exit_group(255)
`;
