import { definePage } from "../../lib/pages.ts";

export default definePage({ path: "/workers/:id", title: "Worker", parent: "/workers", load: () => import("./Worker.svelte") });
