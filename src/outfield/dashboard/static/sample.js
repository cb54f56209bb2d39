/** One input: what it is, what the model says, what every detector says, what is near it and why. */

import { get } from "./api.js";
import { h, number, plural, say } from "./dom.js";
import { empty, into } from "./notices.js";
import { input, query, right } from "./samples.js";
import { ALARM } from "./strip.js";
import { address, go, page, read } from "./state.js";

const known = (value) => value !== null && value !== undefined;

/** A contribution with its sign, to three digits of the largest one. */
const signed = (value, most) => {
  const decimals = most > 0 ? Math.min(12, Math.max(0, 2 - Math.floor(Math.log10(most)))) : 0;
  return (value > 0 ? "+" : value < 0 ? "−" : "") + number(Math.abs(value), decimals);
};

const facts = (found, set) => {
  const verdict = { true: " (right)", false: " (wrong)" }[found.correct ?? right(found, set)] ?? "";
  const pairs = [["model", found.model], ["set", found.set], ["part", found.part], ["category", found.category], ["row", found.row], ["label", found.label], ["prediction", known(found.prediction) && `${found.prediction}${verdict}`]];
  return h("dl", { class: "pairs" }, pairs.filter(([, value]) => known(value) && value !== false).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value)))));
};

const probabilities = (found) =>
  found.probabilities?.length > 0 && [
    h("h3", {}, "Most probable classes"),
    h(
      "ul",
      { class: "bars" },
      found.probabilities.map(([name, p]) =>
        h("li", {}, h("span", { class: "bar-name" }, String(name)), h("span", { class: "bar", "aria-hidden": "true", style: { "--share": p } }), h("span", { class: "bar-value" }, number(p, 3))),
      ),
    ),
  ];

const nearest = (found) =>
  found.nearest?.length > 0 && [
    h("h3", {}, "Nearest training inputs"),
    h("p", { class: "note" }, "By the distance of their features to this input's."),
    h(
      "ol",
      { class: "nearest" },
      found.nearest.map((each) =>
        h("li", {}, input(each, undefined, `Training input of row ${each.row}, label ${each.label}`), h("span", {}, `label ${each.label}`), h("span", { class: "aside" }, `distance ${Number(each.distance).toPrecision(3)}`)),
      ),
    ),
  ];

const part = ([name, value], most) => {
  const share = most ? Math.abs(value) / most : 0;
  return h(
    "li",
    {},
    h("span", { class: "bar-name" }, String(name)),
    h("span", { class: `both ${value < 0 ? "minus" : "plus"}`, "aria-hidden": "true", style: { "--share": share } }),
    h("span", { class: "bar-value" }, signed(value, most)),
  );
};

const reasons = (why) => {
  const most = Math.max(...why.parts.map(([, value]) => Math.abs(value)), 0);
  return [
    h("p", { class: "note" }, `Contributions of ${why.by} to the score of ${why.detector}. They add up to it: ${Number(why.total).toPrecision(4)}. Right of the middle raises the score, left lowers it.`),
    h("ul", { class: "bars" }, why.parts.map((each) => part(each, most))),
  ];
};

const why = (found, selected) => {
  if (!found.why?.length) return null;
  const place = h("div", {});
  const show = (at) => place.replaceChildren(...reasons(found.why[at]));
  const name = ({ detector, by }) => (found.why.filter((each) => each.detector === detector).length > 1 ? `${detector}, by ${by}` : detector);
  const options = found.why.map((each, at) => h("option", { value: at }, name(each)));
  const choose = h("select", { id: "why", onchange: () => show(Number(choose.value)) }, options);
  const own = found.why.findIndex((each) => each.detector === selected);
  choose.value = String(Math.max(own, 0));
  show(Math.max(own, 0));
  const missing = selected && own < 0 && h("p", { class: "note" }, `${selected} has no exact attribution; another detector's is shown.`);
  return [h("h3", {}, "Why"), h("div", { class: "tools" }, h("label", { for: "why" }, "Detector"), choose), missing, place];
};

class SampleView {
  constructor(main, context) {
    this.context = context;
    this.steps = h("nav", { class: "pager", "aria-label": "Samples in this order" });
    this.place = h("div", { class: "display" });
    this.keys = (event) => this.key(event);
    document.addEventListener("keydown", this.keys);
    main.replaceChildren(h("section", { "aria-label": "Sample" }, this.steps, this.place));
    this.update(read());
  }

  update(state) {
    const { study } = this.context;
    const asked = { model: state.model, set: state.from, row: state.sample };
    const what = `${state.from} row ${state.sample}`;
    into(this.place, () => get(["studies", study.folder, "sample"], asked, { keep: true }), (found) => this.show(found, state), { lines: 9, kind: "tall", what });
    this.neighbours(state);
  }

  show(found, state) {
    const what = `${found.set}, row ${found.row}`;
    const left = h(
      "div",
      { class: "sample-left" },
      h("h2", {}, what),
      h("div", { class: "sample-big" }, input(found, undefined, `The input: ${what}`)),
      facts(found, this.context.names.sets.get(found.set)), probabilities(found), (found.notes ?? []).map((text) => h("p", { class: "caution" }, text)),
    );
    const detectors = h("div", { class: "sample-right" }, this.scores(found), nearest(found), why(found, state.detector));
    return h("div", { class: "sample-page" }, left, detectors);
  }

  scores(found) {
    if (!found.scores?.length) return empty("No score of this input was kept", "Its set may not be one that the study scores sample by sample.");
    const sorted = [...found.scores].sort((a, b) => (b.percentile ?? -1) - (a.percentile ?? -1));
    const above = sorted.filter((each) => each.percentile >= ALARM).length;
    const { names, pick, selection } = this.context;
    const chosen = selection().detector;
    const rows = sorted.map((each) =>
      h(
        "tr",
        { class: each.detector === chosen ? "chosen clickable" : "clickable", onclick: () => pick(names.among([["detector", each.detector]])) },
        h("th", { scope: "row" }, h("button", { type: "button", class: "name", "aria-pressed": String(each.detector === chosen), "aria-label": `Select ${each.detector}` }, each.detector)),
        h("td", { class: "track-cell" }, h("span", { class: each.percentile >= ALARM ? "track alarm" : "track", "aria-hidden": "true", style: { "--at": (each.percentile ?? 0) / 100 } })),
        h("td", { class: "number" }, number(each.percentile, 1)),
        h("td", { class: "number" }, known(each.score) ? Number(each.score).toPrecision(4) : "–"),
      ),
    );
    const head = h("tr", {}, h("th", { scope: "col" }, "Detector"), h("th", { scope: "col", class: "track-cell" }, h("span", { class: "scale" }, h("span", {}, "0"), h("span", {}, "50"), h("span", {}, "95"))), h("th", { scope: "col", class: "number" }, "Percentile"), h("th", { scope: "col", class: "number" }, "Score"));
    return [
      h("h3", {}, "What the detectors say"),
      h("p", { class: "note" }, `${above} of ${plural(sorted.length, "detector")} put it at or above the ${ALARM}th percentile of the ID test inputs (filled dots): there, a threshold that lets 5% of ID inputs fail calls it OOD.`),
      h("table", { class: "percentiles" }, h("caption", { class: "visually-hidden" }, "Percentile and score of every detector"), h("thead", {}, head), h("tbody", {}, rows)),
    ];
  }

  /** Links to the inputs before and after this one, in the order of the list it came from. */
  async neighbours(state) {
    const list = (at) => page("samples", { sort: state.sort, descending: state.descending, page: at > 1 ? at : "" });
    const back = h("a", { class: "plain", href: list(state.page) }, "All samples");
    this.steps.replaceChildren(back);
    [this.before, this.after] = [null, null];
    const turn = (this.turn = (this.turn ?? 0) + 1);
    try {
      const found = await this.around(state);
      if (turn !== this.turn) return;
      [this.before, this.after] = [found.before, found.after].map((each) => each && address({ sample: each.row, from: each.set, page: "" }, state));
      back.setAttribute("href", list(found.page));
      const step = (text, target) => (target ? h("a", { class: "plain", href: target }, text) : h("span", { class: "plain off", "aria-hidden": "true" }, text));
      this.steps.replaceChildren(back, step("← Previous", this.before), step("Next →", this.after));
    } catch (error) {
      say(`The neighbouring samples could not be found: ${error.message}`);
    }
  }

  around(state) {
    const asked = { ...query(state), page: "", home: state.from, row: state.sample };
    return get(["studies", this.context.study.folder, "neighbours"], asked, { keep: true });
  }

  key(event) {
    if (event.target.closest("input, select, textarea, [tabindex='0']") || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowLeft" && this.before) go(this.before);
    if (event.key === "ArrowRight" && this.after) go(this.after);
  }

  close() {
    document.removeEventListener("keydown", this.keys);
  }
}

/** The view of one sample. */
export const mount = (main, context) => {
  const state = read();
  if (state.sample && state.from) return new SampleView(main, context);
  main.replaceChildren(empty("No sample is chosen", "Choose one of the list.", h("p", {}, h("a", { href: page("samples") }, "All samples"))));
  return { update: (now) => now.sample && now.from && mount(main, context), close: () => {} };
};
