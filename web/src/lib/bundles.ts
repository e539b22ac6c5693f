/** What is dropped to be deployed: an archive, or files of a folder without what `runwright deploy` leaves out too. */

import type { ZipEntry } from "./zip.ts";

const NEVER = [".git/", ".env", ".env.*", "*.key", "*.p12", "*.pfx", "*.jks", "*.kdbx", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", ".netrc", ".pypirc", ".npmrc"];
const USUALLY = [".venv/", "venv/", "node_modules/", "__pycache__/", "*.pyc", ".hg/", ".svn/", ".mypy_cache/", ".ruff_cache/", ".pytest_cache/", ".tox/", ".idea/", ".vscode/", ".runwright/", ".DS_Store", "*.swp", ".gitignore", ".gitattributes", "runwright.toml"];
const MOST_FILES = 10_000;
const MOST_BYTES = 256 * 1024 * 1024;

/** Return why a path is left out; undefined if it is taken. */
export function leftOut(path: string): string | undefined {
  const names = path.split("/");
  const fits = (pattern: string) => names.some((name, index) => (index < names.length - 1 || !pattern.endsWith("/")) && matches(name, pattern));
  if (names.at(-1) !== ".env.example" && NEVER.some(fits)) return "never uploaded";
  return USUALLY.some(fits) ? "left out by default" : undefined;
}

function matches(name: string, pattern: string): boolean {
  const wanted = pattern.replace(/\/$/, "");
  if (wanted.startsWith("*")) return name.endsWith(wanted.slice(1));
  return wanted.endsWith("*") ? name.startsWith(wanted.slice(0, -1)) : name === wanted;
}

export interface Dropped {
  /** What it is called. */
  name: string;
  /** An archive as it is. */
  archive?: File;
  /** The files of a folder. */
  files: readonly { path: string; file: File }[];
  /** Paths that are left out, with the reason. */
  skipped: readonly { path: string; reason: string }[];
}

/** Return what was dropped or chosen. */
export async function droppedOf(items: readonly FileSystemEntry[], chosen: readonly File[]): Promise<Dropped> {
  const [only] = chosen;
  if (only && chosen.length === 1 && /\.(zip|tar\.gz|tgz)$/i.test(only.name)) return { name: only.name, archive: only, files: [], skipped: [] };
  const found: { path: string; file: File }[] = [];
  const skipped: { path: string; reason: string }[] = [];
  const folders = items.filter((item) => item.isDirectory);
  if (folders.length) for (const item of items) await walk(item, "", found, skipped);
  else for (const file of chosen) sort(file.webkitRelativePath || file.name, file, found, skipped);
  if (!found.length) throw new Error("There is no file to deploy in it.");
  if (found.length > MOST_FILES) throw new Error(`It has more than ${MOST_FILES} files.`);
  if (found.reduce((sum, one) => sum + one.file.size, 0) > MOST_BYTES) throw new Error("It has more than 256 MiB.");
  const [top] = (found[0] as { path: string }).path.split("/", 1);
  const whole = found.every(({ path }) => path.startsWith(`${top}/`));
  const files = whole ? found.map(({ path, file }) => ({ path: path.slice((top as string).length + 1), file })) : found;
  return { name: whole ? (top as string) : "files", files, skipped };
}

/** Return the files as entries of an archive. */
export async function entriesOf({ files }: Dropped): Promise<ZipEntry[]> {
  return Promise.all(files.map(async ({ path, file }) => ({ path, content: new Uint8Array(await file.arrayBuffer()) })));
}

function sort(path: string, file: File, found: { path: string; file: File }[], skipped: { path: string; reason: string }[]): void {
  const reason = leftOut(path);
  if (reason) skipped.push({ path, reason });
  else found.push({ path, file });
}

async function walk(entry: FileSystemEntry, folder: string, found: { path: string; file: File }[], skipped: { path: string; reason: string }[]): Promise<void> {
  const path = folder + entry.name;
  if (found.length > MOST_FILES) return;
  if (entry.isFile) {
    sort(path, await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject)), found, skipped);
    return;
  }
  const reason = leftOut(`${path}/x`);
  if (reason) {
    skipped.push({ path: `${path}/`, reason });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const inner of some) await walk(inner, `${path}/`, found, skipped);
  }
}
