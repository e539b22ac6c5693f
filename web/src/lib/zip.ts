/** Archives made in the browser: what a deploy uploads of a folder that was dropped. */

export interface ZipEntry {
  /** With `/` between folders. */
  path: string;
  content: Uint8Array<ArrayBuffer>;
}

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const UTF8 = 0x0800;
const DEFLATE = 8;
const STORE = 0;
const VERSION = 20;
const MADE_ON_UNIX = 0x0314;
const DATE_1980 = 0x21; // the first day: times do not matter
const FILE = 0o100644;
const PROGRAM = 0o100755;
const MOST_ENTRIES = 0xffff;

/** Return a zip of files; those that begin with `#!` are executable. */
export async function zipOf(entries: readonly ZipEntry[]): Promise<Blob> {
  if (entries.length > MOST_ENTRIES) throw new Error("There are too many files.");
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const directory: Uint8Array<ArrayBuffer>[] = [];
  let offset = 0;
  for (const { path, content } of entries) {
    const name = new TextEncoder().encode(path);
    const packed = await deflated(content);
    const small = packed.length < content.length;
    const stored = small ? packed : content;
    const common = fields(
      [2, VERSION], [2, UTF8], [2, small ? DEFLATE : STORE], [2, 0], [2, DATE_1980],
      [4, crc32(content)], [4, stored.length], [4, content.length], [2, name.length], [2, 0],
    );
    const header = [fields([4, LOCAL]), common, name, stored];
    const mode = content[0] === 0x23 && content[1] === 0x21 ? PROGRAM : FILE;
    directory.push(fields([4, CENTRAL], [2, MADE_ON_UNIX]), common, fields([2, 0], [2, 0], [2, 0], [4, mode * 0x10000], [4, offset]), name);
    parts.push(...header);
    offset += sizeOf(header);
  }
  const count = entries.length;
  const end = fields([4, END], [2, 0], [2, 0], [2, count], [2, count], [4, sizeOf(directory)], [4, offset], [2, 0]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

async function deflated(content: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([content]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

export function crc32(content: Uint8Array): number {
  let sum = 0xffffffff;
  for (const byte of content) sum = (sum >>> 8) ^ (TABLE[(sum ^ byte) & 0xff] as number);
  return (sum ^ 0xffffffff) >>> 0;
}

/** Return numbers in little-endian order, each with its number of bytes. */
function fields(...numbers: readonly (readonly [2 | 4, number])[]): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(numbers.reduce((sum, [bytes]) => sum + bytes, 0)));
  let at = 0;
  for (const [bytes, value] of numbers) {
    if (bytes === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value >>> 0, true);
    at += bytes;
  }
  return new Uint8Array(view.buffer);
}

function sizeOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}
