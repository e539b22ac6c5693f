import { definePage } from "../../lib/pages.ts";

export default definePage({
  path: "/inbox",
  title: "Inbox",
  nav: { section: "Run", order: 50, icon: "inbox", key: "i", words: "approve reject questions decisions" },
  load: () => import("./Inbox.svelte"),
});
