import "./styles/index.css";

import { mount } from "svelte";

import App from "./frame/App.svelte";
import { BASE } from "./lib/base.ts";
import { findPage } from "./lib/pages.ts";
import { preferences } from "./lib/preferences.svelte.ts";
import { session } from "./lib/session.svelte.ts";

preferences.apply();
const first = findPage(location.pathname.slice(BASE.length) || "/")?.page;
// A page that needs no session asks for none.
if (!first?.open) void session.start();
// It is loaded while the server is asked who is signed in; where that fails, its place on the page says so.
first?.load().catch(() => {});

const target = document.getElementById("app");
if (target) mount(App, { target });
