/** Static executables: elf(5), for x86-64. */

/** What an executable finds in its memory beside its code. */
export interface Segment {
  /** A multiple of the page size. */
  address: number;
  bytes: Uint8Array;
  writable: boolean;
}

const loadAddress = 0x400000;
const pageSize = 4096;
const headerSize = 64;
const programHeaderSize = 56;
const PT_LOAD = 1;
const PT_GNU_STACK = 0x6474e551;
const [executable, writable, readable] = [1, 2, 4];

/** An executable file that begins at the first byte of its position-independent code. */
export function executableImage(code: Uint8Array, segments: readonly Segment[] = []): Uint8Array {
  const programHeaders = 2 + segments.length;
  const codeOffset = headerSize + programHeaders * programHeaderSize;
  const codeEnd = codeOffset + code.length;
  let size = codeEnd;
  // A segment's offset in the file is that of its address in a page: both are 0.
  const placed = segments.map((segment) => {
    const offset = Math.ceil(size / pageSize) * pageSize;
    size = offset + segment.bytes.length;
    return { ...segment, offset };
  });
  const image = new Uint8Array(size);
  const view = new DataView(image.buffer);
  writeHeader(image, view, loadAddress + codeOffset, programHeaders);
  // The headers are loaded with the code: a segment begins at the beginning of a page.
  const text = { offset: 0, address: loadAddress, size: codeEnd };
  writeProgramHeader(view, 0, { type: PT_LOAD, flags: readable | executable, ...text });
  // Without it the stack would be executable.
  const stack = { offset: 0, address: 0, size: 0 };
  writeProgramHeader(view, 1, { type: PT_GNU_STACK, flags: readable | writable, ...stack });
  image.set(code, codeOffset);
  placed.forEach((segment, index) => {
    const { offset, address, bytes } = segment;
    const flags = readable | (segment.writable ? writable : 0);
    writeProgramHeader(view, 2 + index, { type: PT_LOAD, flags, offset, address, size: bytes.length });
    image.set(bytes, offset);
  });
  return image;
}

/** Elf64_Ehdr: 64-bit, little-endian, ET_EXEC, EM_X86_64. */
function writeHeader(image: Uint8Array, view: DataView, entry: number, programHeaders: number): void {
  const [ET_EXEC, EM_X86_64] = [2, 62];
  image.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, ET_EXEC, true);
  view.setUint16(18, EM_X86_64, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(entry), true);
  view.setBigUint64(32, BigInt(headerSize), true);
  view.setUint16(52, headerSize, true);
  view.setUint16(54, programHeaderSize, true);
  view.setUint16(56, programHeaders, true);
}

/** Elf64_Phdr. */
function writeProgramHeader(
  view: DataView,
  index: number,
  header: { type: number; flags: number; offset: number; address: number; size: number },
): void {
  const at = headerSize + index * programHeaderSize;
  const { type, flags, offset, address, size } = header;
  view.setUint32(at, type, true);
  view.setUint32(at + 4, flags, true);
  // Offset in the file, virtual and physical address, size in the file and in memory, alignment.
  const words = [offset, address, address, size, size, type === PT_LOAD ? pageSize : 0];
  words.forEach((word, position) => {
    view.setBigUint64(at + 8 + position * 8, BigInt(word), true);
  });
}
