/** `/proc/<pid>/exe` of a process that runs its plan is `/memfd:<name> (deleted)`. A file of its own: `state` needs no more. */
export const capsuleName = "tsd-init";
