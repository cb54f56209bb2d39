/** The dashboard: reads the address, shows the view that it names, and lets everything follow the selection. */

import { get } from "./api.js";
import { h, say } from "./dom.js";
import { Names } from "./names.js";
import { failed, skeleton } from "./notices.js";
import * as progress from "./progress.js";
import * as rows from "./rows.js";
import * as sample from "./sample.js";
import * as samples from "./samples.js";
import { SelectionBar } from "./selection.js";
import { amend, change, listen, page, read, start } from "./state.js";
import * as studies from "./studies.js";
import * as study from "./study.js";

const VIEWS = { study, rows, samples, sample, progress };
const TABS = { study: "Overview", rows: "Numbers", samples: "Samples", progress: "Progress" };
const KEYS = ["model", "detector", "set"];

const header = document.getElementById("top");
const main = document.getElementById("main");
const shown = { study: null, view: null, state: {}, page: null, bar: null, info: null, turn: 0 };

/** What the server says of a study, asked once unless the study runs. */
const learn = async (name) => {
  if (shown.info?.folder === name && !shown.info.running) return shown.info;
  const info = await get(["studies", name]);
  const models = [...(info.models ?? [])].sort((a, b) => a.model.localeCompare(b.model, "en", { numeric: true }));
  return { detectors: [], sets: [], ...info, models, folder: name };
};

const viewOf = (state) => (!state.study ? "studies" : state.view in VIEWS ? state.view : "study");

const eyebrow = () => h("p", { class: "eyebrow" }, "outfield · what models do outside their training distribution");

const tabs = (view) => {
  const link = (name) => {
    const current = name === view || (name === "samples" && view === "sample");
    return h("li", {}, h("a", { href: page(name), "aria-current": current ? "page" : null }, TABS[name]));
  };
  return h("nav", { class: "tabs", "aria-label": "Views of the study" }, h("ul", {}, Object.keys(TABS).map(link)));
};

const facts = (info) =>
  (info.facts ?? []).length > 0 && h("dl", { class: "facts" }, info.facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value)))));

const context = (info) => {
  const names = new Names(info);
  const selection = () => Object.fromEntries(KEYS.map((key) => [key, read()[key] ?? ""]));
  const pick = (found) => {
    const chosen = names.selection(found, selection());
    change({ ...chosen, page: "" });
    say(Object.entries(chosen).map(([key, value]) => (value ? `${key} ${value} selected` : `${key} no longer selected`)).join(", "));
  };
  return { study: info, names, selection, pick };
};

const crumbs = () => h("nav", { class: "eyebrow crumbs", "aria-label": "Where you are" }, h("a", { href: "?" }, "outfield"), " / ", h("a", { href: "?" }, "Studies"));

const head = (info, state, view) => {
  const title = info.title && info.title !== info.name ? h("p", { class: "subtitle" }, info.title) : null;
  shown.bar = view !== "progress" && info.models.length + info.detectors.length + info.sets.length ? new SelectionBar(info, state) : null;
  shown.tabs = h("div", {}, tabs(view));
  const sticky = h("div", { class: "sticky" }, shown.tabs, shown.bar?.element ?? "");
  const more = view === "study" ? [title, facts(info)] : [];
  header.replaceChildren(...[crumbs(), h("h1", {}, info.name), ...more].filter(Boolean));
  document.querySelector("body > .sticky")?.remove();
  header.after(sticky);
};

const bare = (title) => {
  document.querySelector("body > .sticky")?.remove();
  header.replaceChildren(title === "Studies" ? eyebrow() : crumbs(), h("h1", {}, title));
};

const title = (state, view) => {
  const parts = view === "studies" ? ["Studies"] : [view === "sample" ? `${state.from} row ${state.sample}` : TABS[view], state.study];
  document.title = [...parts, "outfield"].join(" · ");
};

const open = async (state, view) => {
  const turn = (shown.turn += 1);
  shown.page?.close();
  shown.page = null;
  if (view === "studies") {
    bare("Studies");
    shown.page = studies.mount(main);
    return;
  }
  if (shown.info?.folder !== state.study) bare(state.study);
  main.replaceChildren(skeleton(8, "tall"));
  main.setAttribute("aria-busy", "true");
  try {
    const info = await learn(state.study);
    if (turn !== shown.turn) return;
    shown.info = info;
    const lost = unknown(info, read());
    head(info, read(), view);
    shown.page = VIEWS[view].mount(main, context(info));
    if (lost) main.prepend(lost);
    shown.state = read();
  } catch (error) {
    if (turn !== shown.turn) return;
    const all = h("p", {}, h("a", { href: "?" }, "All studies"));
    main.replaceChildren(failed(error, () => open(read(), viewOf(read()))), all);
  }
  main.removeAttribute("aria-busy");
};

/** Take out of the address what the study does not have, and say so: an old address opens what is left. */
const unknown = (info, state) => {
  const names = new Names(info);
  const kinds = { model: names.models, detector: names.detectors, set: names.sets };
  const lost = KEYS.filter((key) => state[key] && !kinds[key].has(state[key]));
  if (!lost.length) return null;
  const words = lost.map((key) => `${key} ${state[key]}`).join(" and ");
  amend(Object.fromEntries(lost.map((key) => [key, ""])));
  return h("p", { class: "caution", role: "alert" }, `This study has no ${words}, so nothing is selected in its place. Choose one above.`);
};

/** Show a state; `scroll` is the place to go back to, null for a change within the page. */
const show = async (state, scroll) => {
  const view = viewOf(state);
  const [before, same] = [shown.state, shown.study === (state.study ?? null) && shown.view === view && shown.page !== null];
  title(state, view);
  if (same) {
    shown.state = state;
    shown.bar?.update(state);
    shown.tabs?.replaceChildren(tabs(view));
    shown.page.update(state, before);
  } else {
    const moved = shown.view !== null;
    const opening = open(state, view);
    Object.assign(shown, { study: state.study ?? null, view, state });
    await opening;
    if (moved && scroll === null && !state.display) {
      main.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
  }
  if (scroll !== null) requestAnimationFrame(() => scrollTo(0, scroll));
};

start();
listen(show);
show(read(), null);
