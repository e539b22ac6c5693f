import { definePage } from "../../lib/pages.ts";

export default definePage({
  path: "/agents",
  title: "Agents",
  nav: { section: "Build", order: 30, icon: "robot", key: "a", words: "registrations executions decisions reviewers" },
  load: () => import("./Agents.svelte"),
});
