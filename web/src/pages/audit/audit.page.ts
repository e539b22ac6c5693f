import { definePage } from "../../lib/pages.ts";

export default definePage({
  path: "/audit",
  title: "Audit log",
  role: "tenant-system-admin",
  nav: { section: "Manage", order: 30, icon: "audit", words: "history who changed log" },
  load: () => import("./Audit.svelte"),
});
