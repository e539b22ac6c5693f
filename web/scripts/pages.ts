/** The pages that the server answers with the index: the folders of src/pages that declare one. */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const PAGES = fileURLToPath(new URL("../src/pages", import.meta.url));

/** What the server itself serves. */
const RESERVED = new Set(["api", "assets", "docs", "healthz", "livez", "llms.txt", "mcp", "metrics", "readyz", "v1"]);

/** Return the first segments of the paths of all pages. */
export function pageFolders(): string[] {
  const folders = folderNames().filter((name) => name !== "overview"); // its path is /
  const taken = folders.filter((name) => RESERVED.has(name));
  if (taken.length) throw new Error(`src/pages/${taken[0]}: the server has something else at this path.`);
  return folders;
}

function folderNames(): string[] {
  return readdirSync(PAGES, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .filter((entry) => readdirSync(join(PAGES, entry.name)).some((name) => name.endsWith(".page.ts")))
    .map((entry) => entry.name)
    .sort();
}
