/** The server of `make web-dev`: pages with hot reload, and everything else from a running Runwright server. */

import type { IncomingMessage, ServerResponse } from "node:http";

import type { Plugin, ProxyOptions } from "vite";

import { pageFolders } from "./pages.ts";

const NONCE = "development";
/** The server's own policy, except that Vite's client brings styles in elements and reports by a web socket. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  `style-src 'self' 'nonce-${NONCE}'`,
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self' ws:",
  "base-uri 'self'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types svelte-trusted-html",
].join("; ");
const SERVED_PATHS = ["/v1", "/api", "/docs", "/healthz", "/readyz", "/livez", "/metrics", "/mcp", "/llms"];

export function development(server: string): Plugin {
  const options: ProxyOptions = {
    target: server,
    changeOrigin: true,
    configure: (proxy) => {
      // A session refuses requests that pages of other origins cause.
      proxy.on("proxyReq", (request) => request.getHeader("origin") && request.setHeader("origin", server));
    },
  };
  return {
    name: "runwright-development",
    apply: "serve",
    config: () => ({
      html: { cspNonce: NONCE },
      server: {
        port: 5173,
        headers: { "content-security-policy": POLICY },
        fs: { allow: [".."] },
        proxy: Object.fromEntries(SERVED_PATHS.map((path) => [path, options])),
      },
    }),
    configureServer(vite) {
      const pages = new Set(pageFolders());
      vite.middlewares.use((request: IncomingMessage, _: ServerResponse, next: () => void) => {
        const path = new URL(request.url ?? "/", server).pathname;
        if (pages.has(path.split("/")[1] ?? "")) request.url = "/";
        next();
      });
    },
  };
}
