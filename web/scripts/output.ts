/**
 * What the build writes beside Vite's files: each file compressed, and manifest.json, by which the server serves them.
 *
 * It fails where the first page is larger than it may be, and where a file could not be served.
 */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { extname, join, relative, resolve, sep } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

import type { Plugin, ResolvedConfig } from "vite";

import { pageFolders } from "./pages.ts";

const FIRST_PAGE_BYTES = 250 * 1024;
const FIRST_FONTS = /-latin-wght-.*woff2$/;
/** What is loaded after the entry on the way to the first page: the overview, and its charts. */
const FIRST_MODULES = /\/pages\/overview\/Overview\.svelte$|\/uplot\//;
/** It is on every page, so it is asked for before the styles name it. */
const PRELOADED_FONT = /inter-latin-wght-.*woff2$/;
/** The links to the styles of parts, and after them to those of elements: these come first, so that parts can differ. */
const STYLES = /(<link [^>]*parts-[^>]*\.css">)(\s*)(<link [^>]*index-[^>]*\.css">)/;
const SMALLEST_COMPRESSED = 1024;
const COMPRESSED = new Set([".css", ".html", ".js", ".json", ".svg"]);
const SERVED = new Set([...COMPRESSED, ".png", ".woff2"]);
const BROTLI = { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } };

interface OutputFile {
  etag: string;
  encodings: string[];
  hashed: boolean;
}

export function output(): Plugin {
  let config: ResolvedConfig;
  const first = new Set<string>();
  return {
    name: "runwright-output",
    apply: "build",
    configResolved(resolved) {
      config = resolved;
    },
    transformIndexHtml: {
      order: "post",
      handler: (html, { bundle }) => ({
        html: html.replace(STYLES, "$3$2$1"),
        tags: Object.keys(bundle ?? {})
          .filter((name) => PRELOADED_FONT.test(name))
          .map((name) => ({ tag: "link", injectTo: "head", attrs: { rel: "preload", as: "font", type: "font/woff2", crossorigin: true, href: `./${name}` } })),
      }),
    },
    generateBundle(_, bundle) {
      const add = (name: string) => {
        const chunk = bundle[name];
        if (first.has(name) || chunk?.type !== "chunk") return;
        first.add(name);
        for (const style of chunk.viteMetadata?.importedCss ?? []) first.add(style);
        chunk.imports.forEach(add);
      };
      for (const [name, chunk] of Object.entries(bundle)) {
        if (chunk.type === "chunk" && (chunk.isEntry || chunk.moduleIds.some((id) => FIRST_MODULES.test(id)))) add(name);
      }
      for (const name of Object.keys(bundle)) if (FIRST_FONTS.test(name)) first.add(name);
    },
    closeBundle() {
      const folder = resolve(config.root, config.build.outDir);
      const files = Object.fromEntries(filesOf(folder).map((name) => [name, compress(folder, name)]));
      const bytes = ["index.html", ...first].map((name) => transferred(folder, name, files)).reduce((a, b) => a + b, 0);
      if (bytes > FIRST_PAGE_BYTES) {
        throw new Error(`The first page has ${bytes} bytes compressed; it may have ${FIRST_PAGE_BYTES}.`);
      }
      writeFileSync(join(folder, "manifest.json"), JSON.stringify({ pages: pageFolders(), first_bytes: bytes, files }, null, 1));
      config.logger.info(`first page: ${(bytes / 1024).toFixed(1)} KiB compressed`);
    },
  };
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join("/"))
    .sort();
}

function compress(folder: string, name: string): OutputFile {
  const type = extname(name);
  if (!SERVED.has(type)) throw new Error(`${name}: the server has no media type for it.`);
  const content = readFileSync(join(folder, name));
  const encodings: string[] = [];
  // The index is completed by the server, so it is sent as it is.
  if (COMPRESSED.has(type) && content.length >= SMALLEST_COMPRESSED && name !== "index.html") {
    writeFileSync(join(folder, `${name}.br`), brotliCompressSync(content, BROTLI));
    writeFileSync(join(folder, `${name}.gz`), gzipSync(content, { level: 9 }));
    encodings.push("br", "gzip");
  }
  const etag = createHash("sha256").update(content).digest("hex").slice(0, 32);
  return { etag: `"${etag}"`, encodings, hashed: name.startsWith("assets/") };
}

function transferred(folder: string, name: string, files: Record<string, OutputFile>): number {
  const suffix = files[name]?.encodings.includes("br") ? ".br" : "";
  return readFileSync(join(folder, name + suffix)).length;
}
