import { definePage } from "../../lib/pages.ts";

export default definePage({ path: "/agents/:id", title: "Agent", parent: "/agents", load: () => import("./Agent.svelte") });
