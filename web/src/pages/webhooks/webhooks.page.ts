import { definePage } from "../../lib/pages.ts";

export default definePage({
  path: "/webhooks",
  title: "Webhooks",
  nav: { section: "Connect", order: 20, icon: "webhook", key: "h", words: "endpoints deliveries hooks" },
  load: () => import("./Webhooks.svelte"),
});
