/** Bits or values of one kind by the kernel's names: what turns a number in a plan or an error into words. */
export type ConstantNames = Readonly<Record<string, number>>;

/** `MS_NOSUID|MS_NODEV`; bits without a name are added in hexadecimal, and no bit at all is `0`. */
export function formatFlags(value: number | bigint, names: ConstantNames): string {
  let rest = BigInt(value);
  const parts: string[] = [];
  for (const [name, number] of Object.entries(names)) {
    const bits = BigInt(number) & 0xffffffffn;
    if (bits === 0n || (rest & bits) !== bits) continue;
    parts.push(name);
    rest &= ~bits;
  }
  if (rest !== 0n || parts.length === 0) parts.push(rest > 0xffn ? `0x${rest.toString(16)}` : String(rest));
  return parts.join("|");
}

/** The name whose value it is, or the number in decimal. */
export function formatConstant(value: number, names: ConstantNames): string {
  for (const [name, number] of Object.entries(names)) if (number === value) return name;
  return String(value);
}
