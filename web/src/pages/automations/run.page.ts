import { definePage } from "../../lib/pages.ts";

export default definePage({ path: "/automations/runs/:id", title: "Run", parent: "/automations", load: () => import("./Run.svelte") });
