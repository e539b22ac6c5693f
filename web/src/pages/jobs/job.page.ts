import { definePage } from "../../lib/pages.ts";

export default definePage({ path: "/jobs/:id", title: "Job", parent: "/jobs", load: () => import("./Job.svelte") });
