import { svelte } from "@sveltejs/vite-plugin-svelte";
import { fileURLToPath } from "node:url";
import { defineConfig, loadEnv } from "vite";

import { development } from "./scripts/development.ts";
import { output } from "./scripts/output.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig(({ mode }) => {
  const environment = loadEnv(mode, process.cwd(), "RUNWRIGHT_");
  const server = environment["RUNWRIGHT_URL"] ?? "http://127.0.0.1:8080";
  return {
    base: "./",
    plugins: [svelte(), development(server), output()],
    resolve: {
      alias: {
        "runwright-client": here("../clients/typescript/src/index.ts"),
        "openapi-fetch": here("node_modules/openapi-fetch"),
      },
    },
    build: {
      outDir: environment["RUNWRIGHT_WEB_OUTPUT"] ?? "dist",
      emptyOutDir: true,
      target: "es2023",
      assetsInlineLimit: 0, // data: URLs of fonts would need a wider policy
      modulePreload: { polyfill: false },
      reportCompressedSize: false,
      chunkSizeWarningLimit: 1_000,
      // Parts that several pages share come as one file: a browser has six connections, and each file costs a slow machine milliseconds.
      rolldownOptions: { output: { codeSplitting: { groups: [{ name: "parts", test: /\/web\/src\//, minShareCount: 3 }] } } },
    },
  };
});
