import "./styles/index.css";

import { mount } from "svelte";

import App from "./frame/App.svelte";
import { preferences } from "./lib/preferences.svelte.ts";
import { session } from "./lib/session.svelte.ts";

preferences.apply();
void session.start();

const target = document.getElementById("app");
if (target) mount(App, { target });
