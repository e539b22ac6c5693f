import { definePage } from "../../lib/pages.ts";

export default definePage({
  path: "/",
  title: "Overview",
  nav: { section: "Run", order: 10, icon: "home", key: "o", words: "home dashboard start" },
  load: () => import("./Overview.svelte"),
});
