import { definePage } from "../../lib/pages.ts";

export default definePage({
  path: "/keys",
  title: "API keys",
  role: "tenant-system-admin",
  nav: { section: "Manage", order: 20, icon: "key", key: "k", words: "tokens members access roles scopes" },
  load: () => import("./Keys.svelte"),
});
