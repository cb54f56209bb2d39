/** The inputs of a study with what the detectors make of them: a grid, most disagreement first. */

import { get } from "./api.js";
import { h, number } from "./dom.js";
import { empty, into } from "./notices.js";
import { pager } from "./pager.js";
import { strip } from "./strip.js";
import { address, change, read } from "./state.js";

const SIZE = 24;
const SORTS = { disagreement: "disagreement between detectors", score: "score of the detector", row: "row" };

/** How the state asks for a page of samples. */
export const query = (state) => ({
  model: state.model, set: state.set, detector: state.detector, sort: sortOf(state),
  descending: state.descending ?? String(sortOf(state) !== "row"), page: Number(state.page) || 1, size: SIZE,
});

const sortOf = (state) => {
  const wanted = state.sort in SORTS ? state.sort : "disagreement";
  return wanted === "score" && !state.detector ? "disagreement" : wanted;
};

/** The picture of an input, its text, or words for neither. */
export const input = (item, media, alt) => {
  if (item.picture) return h("img", { src: item.picture, alt, loading: "lazy", decoding: "async" });
  if (item.text) return h("blockquote", { class: "text" }, item.text);
  return h("p", { class: "unseen" }, media === null ? "The input cannot be read here" : "No picture");
};

/** The address of an input's picture. */
export const picture = (study, set, row) => `/api/studies/${encodeURIComponent(study)}/picture?${new URLSearchParams({ set, row })}`;

/** Whether a prediction is right; null where there is no right one, as for an OOD input. */
export const right = (item, set) => {
  const known = [item.label, item.prediction].every((each) => each !== null && each !== undefined);
  return known && set?.kind !== "ood" ? String(item.label) === String(item.prediction) : null;
};

const says = (item) => {
  const label = item.label === null || item.label === undefined ? null : `label ${item.label}`;
  const predicted = item.prediction === null || item.prediction === undefined ? null : `predicted ${item.prediction}`;
  return [label, predicted].filter(Boolean).join(", ");
};

class SamplesView {
  constructor(main, context) {
    this.context = context;
    this.sort = h("select", { id: "sort", onchange: () => change({ sort: this.sort.value, descending: "", page: "" }) });
    this.way = h("select", { id: "way", onchange: () => change({ descending: this.way.value, page: "" }) },
      h("option", { value: "true" }, "largest first"), h("option", { value: "false" }, "smallest first"));
    this.note = h("p", { class: "note" });
    this.place = h("div", { class: "display" });
    const tools = h("div", { class: "tools" }, h("label", { for: "sort" }, "Sort by"), this.sort, h("label", { for: "way", class: "visually-hidden" }, "Order"), this.way);
    main.replaceChildren(h("section", { "aria-labelledby": "h-samples" }, h("h2", { id: "h-samples" }, "Samples"), this.note, tools, this.place));
    this.update(read());
  }

  update(state) {
    const asked = query(state);
    this.sort.replaceChildren(...Object.entries(SORTS).map(([value, text]) => h("option", { value, disabled: value === "score" && !state.detector }, value === "score" && state.detector ? `score of ${state.detector}` : text)));
    this.sort.value = asked.sort;
    this.way.value = asked.descending;
    const load = () => get(["studies", this.context.study.folder, "samples"], asked, { keep: true });
    into(this.place, load, (answer) => this.show(answer, state), { lines: 12, kind: "grid", what: "Samples" });
  }

  show(answer, state) {
    const model = answer.model ?? state.model;
    this.note.textContent = model
      ? `Scores of model ${model}${state.model ? "" : " (none is selected, so the first)"}. Ticks: each detector's percentile among the ID test inputs; disagreement is their standard deviation.${answer.note ? ` ${answer.note}` : ""}`
      : "";
    if (!answer.total) return empty("No sample belongs to this selection", "Choose another set, or clear it.");
    const cards = answer.items.map((item) => this.card(item, answer, state));
    return [h("ol", { class: `samples ${answer.media === "text" ? "texts" : ""}` }, cards), pager(answer, "samples")];
  }

  card(item, answer, state) {
    const { study } = this.context;
    const { media } = answer;
    const seen = { text: item.text, picture: media === "picture" ? picture(study.folder, item.set, item.row) : null };
    const name = `${item.set}, row ${item.row}`;
    const href = address({ view: "sample", sample: item.row, from: item.set, page: state.page });
    const points = Object.entries(item.scores).map(([detector, each]) => ({ detector, percentile: each.percentile }));
    const wrong = right(item, this.context.names.sets.get(item.set)) === false;
    return h(
      "li",
      {},
      h(
        "a",
        { class: "sample", href },
        h("span", { class: "sample-input" }, input(seen, media, "")),
        h("span", { class: "sample-name" }, item.set),
        item.part && h("span", {}, item.part.replaceAll("_", " ")),
        h("span", { class: wrong ? "aside wrong" : "aside" }, [`row ${item.row}`, says(item)].filter(Boolean).join(", ")),
        strip(points, state.detector),
        h("span", { class: "aside" }, `disagreement ${number(item.disagreement, 1)}`),
        h("span", { class: "visually-hidden" }, `. Open ${name}`),
      ),
    );
  }

  close() {}
}

/** The view of a study's samples. */
export const mount = (main, context) => {
  if (context.study.has_samples) return new SamplesView(main, context);
  main.replaceChildren(empty("This study kept no scores of single inputs", "The sample viewer reads them from the study's folder scores/. Run the study again with this version to keep them."));
  return { update: () => {}, close: () => {} };
};
