/** What `GET /containers/{id}/changes` answers with. */

export interface FileChangeJson {
  Path: string;
  /** 0 modified, 1 added, 2 deleted. */
  Kind: number;
}

export const changeKinds = { modified: 0, added: 1, deleted: 2 } as const;
/** What `diff` prints for each. */
export const changeLetters = ["C", "A", "D"];
