import { definePage } from "../../lib/pages.ts";

export default definePage({
  path: "/workers",
  title: "Workers",
  nav: { section: "Build", order: 10, icon: "worker", key: "w", words: "functions code deploy" },
  load: () => import("./Workers.svelte"),
});
