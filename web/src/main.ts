import { mount } from "svelte";
import App from "./App.svelte";
import "./app.css";
import { answerFrom } from "./lib/api";
import { Walk, type Carried } from "./lib/walk";
import WalkPage from "./Walk.svelte";

// the explorer's own page, or a report that carries what its walk needs
const carried = document.getElementById("walk-values");
const report = document.getElementById("walk");
const target = report?.shadowRoot?.querySelector(".walk") ?? document.getElementById("app");
if (target && report && carried) {
  const walk = new Walk(JSON.parse(carried.textContent!) as Carried);
  answerFrom(walk);
  mount(WalkPage, { target, props: { walk } });
  Object.assign(report, { walk }); // for those who would ask it from a script
} else if (target) mount(App, { target });
