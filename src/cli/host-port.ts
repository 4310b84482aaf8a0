/** `127.0.0.1:80`, `[::1]:80`: Go's net.JoinHostPort. */
export function joinHostPort(host: string, port: string | number): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}
