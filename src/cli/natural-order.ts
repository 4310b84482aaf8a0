/**
 * Orders names as docker's lists do: numbers in them by their value (`net2` before `net10`), those with fewer leading
 * zeros first, digits before all else. For Array.prototype.sort.
 */
export function compareNaturally(a: string, b: string): number {
  const [left, right] = [parts(a), parts(b)];
  for (let at = 0; at < Math.min(left.length, right.length); at++) {
    const order = compareParts(left[at]!, right[at]!);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

function parts(text: string): string[] {
  return text.match(/\d+|\D/gu) ?? [];
}

function compareParts(a: string, b: string): number {
  const [isNumberA, isNumberB] = [/^\d/.test(a), /^\d/.test(b)];
  if (isNumberA !== isNumberB) return isNumberA ? -1 : 1;
  if (!isNumberA) return Buffer.compare(Buffer.from(a), Buffer.from(b));
  const [digitsA, digitsB] = [a.replace(/^0+/, ""), b.replace(/^0+/, "")];
  const byValue = digitsA.length - digitsB.length || (digitsA < digitsB ? -1 : digitsA > digitsB ? 1 : 0);
  return byValue || a.length - b.length;
}
