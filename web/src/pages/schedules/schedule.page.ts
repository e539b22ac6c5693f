import { definePage } from "../../lib/pages.ts";

export default definePage({ path: "/schedules/:id", title: "Schedule", parent: "/schedules", load: () => import("./Schedule.svelte") });
