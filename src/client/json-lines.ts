/** The JSON objects of a stream that has one a line, as they arrive. */
export async function* jsonLines<T>(
  body: AsyncIterable<Uint8Array>,
  parse: (line: string) => unknown = JSON.parse,
): AsyncGenerator<T> {
  const decoder = new TextDecoder();
  let pending = "";
  for await (const chunk of body) {
    pending += decoder.decode(chunk, { stream: true });
    const lines = pending.split("\n");
    pending = lines.pop()!;
    for (const line of lines) if (line.trim() !== "") yield parse(line) as T;
  }
  if (pending.trim() !== "") yield parse(pending) as T;
}
