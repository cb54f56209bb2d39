/** The studies of the served folder. */

import { get } from "./api.js";
import { h, number, plural } from "./dom.js";
import { empty, into } from "./notices.js";
import { address } from "./state.js";

const KINDS = { study: "study", trajectory: "tracked runs" };

/** How far a study is: a bar with words. */
export const progressBar = (study) => {
  const share = study.total ? study.done / study.total : 0;
  const words = study.running ? "running" : share >= 1 ? "finished" : "stopped";
  const text = `${number(study.done)} of ${plural(study.total, "job")}, ${words}`;
  const bar = h("span", {
    class: "bar", role: "progressbar", "aria-label": `Progress of ${study.name}`, "aria-valuemin": "0", "aria-valuemax": study.total,
    "aria-valuenow": study.done, "aria-valuetext": text, style: { "--share": share },
  });
  return h("div", { class: `progress ${words}` }, bar, h("span", {}, text));
};

const when = (iso) => {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? "" : date.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
};

const card = (study) => {
  const counts = [[study.models, "model"], [study.detectors, "detector"], [study.sets, "set"]].filter(([n]) => n);
  const facts = [KINDS[study.kind] ?? study.kind, ...counts.map(([n, word]) => plural(n, word))];
  return h(
    "li",
    { class: "card" },
    h("h2", {}, h("a", { href: address({ study: study.name }, {}) }, study.name)),
    study.title && study.title !== study.name && h("p", {}, study.title),
    h("p", { class: "note" }, facts.join(" · "), study.updated && [" · ", h("time", { datetime: study.updated }, when(study.updated))]),
    study.error ? h("p", { class: "caution" }, study.error) : progressBar(study),
  );
};

const list = ({ studies }) => {
  if (!studies.length) {
    return empty("There is no study here yet", "Run one into this folder, then come back:", h("pre", { tabindex: "0" }, h("code", {}, "outfield quickstart")));
  }
  const found = h("ul", { class: "cards" }, studies.map(card));
  if (studies.length < 6) return found;
  const keep = (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const item of found.children) item.hidden = !words.every((word) => item.textContent.toLowerCase().includes(word));
  };
  return [h("p", { class: "filter" }, h("label", { for: "find-study" }, "Filter"), h("input", { id: "find-study", type: "search", oninput: keep })), found];
};

/** The view of all studies. */
export const mount = (main) => {
  const place = h("div", {});
  main.replaceChildren(place);
  into(place, () => get(["studies"]), list, { lines: 6, what: "Studies" });
  return { update: () => {}, close: () => {} };
};
