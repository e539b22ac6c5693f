import { definePage } from "../../lib/pages.ts";

export default definePage({
  path: "/tenants",
  title: "Tenants",
  role: "platform-admin",
  nav: { section: "Manage", order: 50, icon: "users", words: "organizations quotas limits usage suspend" },
  load: () => import("./Tenants.svelte"),
});
