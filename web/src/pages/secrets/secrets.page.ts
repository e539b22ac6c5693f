import { definePage } from "../../lib/pages.ts";

export default definePage({
  path: "/secrets",
  title: "Secrets",
  nav: { section: "Manage", order: 10, icon: "secret", words: "environment variables vault" },
  load: () => import("./Secrets.svelte"),
});
