import { definePage } from "../../lib/pages.ts";

export default definePage({ path: "/answer", title: "Question", open: true, load: () => import("./Answer.svelte") });
