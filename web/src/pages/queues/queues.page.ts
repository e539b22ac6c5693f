import { definePage } from "../../lib/pages.ts";

export default definePage({
  path: "/queues",
  title: "Queues",
  nav: { section: "Run", order: 40, icon: "sort", key: "q", words: "executors depth slots waiting concurrency" },
  load: () => import("./Queues.svelte"),
});
