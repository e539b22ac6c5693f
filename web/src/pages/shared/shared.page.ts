import { definePage } from "../../lib/pages.ts";

export default definePage({ path: "/shared", title: "Shared job", open: true, load: () => import("./Shared.svelte") });
