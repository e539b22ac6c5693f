/**
 * The pages: each folder of src/pages declares its own in files `NAME.page.ts`, so there is no list to edit.
 *
 * A folder's pages have paths that begin with its name (`overview` alone has `/`): the server answers those with the index.
 */

import type { Component } from "svelte";

import { match, type Params } from "./routes.ts";
import type { Role } from "./session.svelte.ts";

export type IconName = keyof typeof import("../ui/icons.ts").ICONS;

export interface Page {
  /** With parameters: `/jobs/:id`. */
  path: string;
  title: string;
  /** Its component, which gets `params` if it declares them. */
  load: () => Promise<{ default: Component<never> }>;
  /** Its place in the navigation; a page without one is reached from others. */
  nav?: {
    section: "Run" | "Build" | "Connect" | "Manage";
    /** Within its section. */
    order: number;
    icon: IconName;
    /** `g` and this letter open it. */
    key?: string;
    /** What else people call it, for the palette. */
    words?: string;
  };
  /** Others do not see it in the navigation. */
  role?: Role;
  /** It is shown without a session, and without the frame. */
  open?: true;
  /** The page to whose place in the navigation it belongs. */
  parent?: string;
}

/** Return a page as it is; for its type. */
export function definePage(page: Page): Page {
  return page;
}

const found = import.meta.glob<{ default: Page }>("../pages/*/*.page.ts", { eager: true });

export const PAGES: readonly Page[] = Object.values(found).map((module) => module.default);

export const SECTIONS = ["Run", "Build", "Connect", "Manage"] as const;

/** Return the page of a path with its parameters; fixed paths come before those with parameters. */
export function findPage(path: string): { page: Page; params: Params } | undefined {
  const sorted = [...PAGES].sort((a, b) => count(a.path) - count(b.path));
  for (const page of sorted) {
    const params = match(page.path, path);
    if (params) return { page, params };
  }
  return undefined;
}

function count(path: string): number {
  return path.split("/:").length;
}
