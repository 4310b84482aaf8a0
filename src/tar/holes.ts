/** Where in a file there is data: lseek(2), SEEK_DATA and SEEK_HOLE. */
import type { Fd } from "../../ffi/fd.ts";
import { nextData, nextHole } from "../../ffi/files.ts";
import type { FileStatus } from "../../ffi/stat.ts";
import type { SparseRegion } from "./tar-entry.ts";

/** What tar readers take in one file: with more regions than this the holes are written out. */
const regionsMax = 10_000;
/** A file without any data has one region of no bytes at its end, as GNU tar writes it. */
const sectorBytes = 512;

/** The regions of a file that has holes; undefined for one without, or whose file system does not tell. */
export function dataRegions(
  file: Fd,
  { size, blocks }: Pick<FileStatus, "size" | "blocks">,
): SparseRegion[] | undefined {
  if (blocks * sectorBytes >= size) return undefined;
  const regions: SparseRegion[] = [];
  for (let at = 0; at < size; ) {
    const start = nextData(file, at);
    if (start === undefined || start >= size) break;
    const end = Math.min(nextHole(file, start) ?? size, size);
    if (end <= start) break;
    regions.push({ offset: start, size: end - start });
    if (regions.length > regionsMax) return undefined;
    at = end;
  }
  const [first] = regions;
  if (first?.offset === 0 && first.size === size) return undefined;
  // A region up to the end says how long the file is even to readers that look at the regions alone.
  const last = regions.at(-1);
  if (last === undefined || last.offset + last.size < size) regions.push({ offset: size, size: 0 });
  return regions;
}
