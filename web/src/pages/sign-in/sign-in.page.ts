import { definePage } from "../../lib/pages.ts";

export default definePage({ path: "/sign-in", title: "Sign in", open: true, load: () => import("./SignInLink.svelte") });
