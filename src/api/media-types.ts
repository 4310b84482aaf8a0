/** Whatever parameters it has. */
export function isJson(contentType: string | null | undefined): boolean {
  const [type = ""] = (contentType ?? "").split(";", 1);
  return type.trim().toLowerCase() === "application/json";
}

/** Since API 1.42 a stream says which of its two forms it has. */
export function streamType(terminal: boolean, api: number): string {
  return !terminal && api >= 42 ? "application/vnd.docker.multiplexed-stream" : "application/vnd.docker.raw-stream";
}
