import { definePage } from "../../lib/pages.ts";

export default definePage({
  path: "/schedules",
  title: "Schedules",
  nav: { section: "Run", order: 30, icon: "calendar", key: "s", words: "cron timer firing" },
  load: () => import("./Schedules.svelte"),
});
