import { definePage } from "../../lib/pages.ts";

export default definePage({
  path: "/jobs",
  title: "Jobs",
  nav: { section: "Run", order: 20, icon: "jobs", key: "j", words: "runs executions queue" },
  load: () => import("./Jobs.svelte"),
});
