import { definePage } from "../../lib/pages.ts";

export default definePage({ path: "/webhooks/:id", title: "Webhook", parent: "/webhooks", load: () => import("./Webhook.svelte") });
