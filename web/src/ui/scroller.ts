/** The element that scrolls the page, for lists that draw only what is seen. */

import { getContext, setContext } from "svelte";

const KEY = Symbol("scroller");

export type Scroller = () => HTMLElement | undefined;

export function provideScroller(scroller: Scroller): void {
  setContext(KEY, scroller);
}

export function useScroller(): Scroller {
  return getContext<Scroller | undefined>(KEY) ?? (() => undefined);
}
