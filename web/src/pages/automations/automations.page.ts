import { definePage } from "../../lib/pages.ts";

export default definePage({
  path: "/automations",
  title: "Automations",
  nav: { section: "Build", order: 20, icon: "bolt", key: "u", words: "triggers prompts runs github stripe slack" },
  load: () => import("./Automations.svelte"),
});
