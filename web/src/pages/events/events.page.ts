import { definePage } from "../../lib/pages.ts";

export default definePage({
  path: "/events",
  title: "Events",
  nav: { section: "Connect", order: 10, icon: "event", key: "e", words: "publish log stream custom" },
  load: () => import("./Events.svelte"),
});
