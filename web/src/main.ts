import "./styles/index.css";

import { mount } from "svelte";

import App from "./frame/App.svelte";
import { BASE } from "./lib/base.ts";
import { findPage } from "./lib/pages.ts";
import { preferences } from "./lib/preferences.svelte.ts";
import { session } from "./lib/session.svelte.ts";

preferences.apply();
// A page that needs no session asks for none.
if (!findPage(location.pathname.slice(BASE.length) || "/")?.page.open) void session.start();

const target = document.getElementById("app");
if (target) mount(App, { target });
