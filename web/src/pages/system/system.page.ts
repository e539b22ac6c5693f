import { definePage } from "../../lib/pages.ts";

export default definePage({
  path: "/system",
  title: "System",
  role: "platform-admin",
  nav: { section: "Manage", order: 60, icon: "system", words: "health version isolation disk database operator" },
  load: () => import("./System.svelte"),
});
