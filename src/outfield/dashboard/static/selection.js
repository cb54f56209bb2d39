/** The bar that holds what is selected: a model, a detector, a set. */

import { Combobox } from "./combobox.js";
import { fresh, h, number } from "./dom.js";
import { change } from "./state.js";

const WORDS = { id: "ID", ood: "OOD", shift: "shift" };

const models = (study) =>
  study.models.map((each) => ({
    value: each.model, text: each.model,
    note: each.performance === null || each.performance === undefined ? each.family : `${each.measure} ${number(each.performance, 3)}`,
  }));
const detectors = (study) => study.detectors.map((each) => ({ value: each.name, text: each.name, note: each.information }));
const sets = (study) =>
  study.sets.map((each) => ({ value: each.name, text: each.title ?? each.name, note: [WORDS[each.kind], each.category].filter(Boolean).join(", ") }));

/** Three fields and a summary for small screens; `update(state)` shows another selection. */
export class SelectionBar {
  constructor(study, state) {
    const choices = { model: models(study), detector: detectors(study), set: sets(study) };
    this.fields = {};
    for (const [key, options] of Object.entries(choices)) {
      if (!options.length) continue;
      const label = key[0].toUpperCase() + key.slice(1);
      this.fields[key] = new Combobox({
        label, all: `All ${key}s`, options, value: state[key], choose: (value) => change({ [key]: value, page: "" }),
      });
    }
    this.element = this.build();
    this.update(state);
  }

  build() {
    const id = fresh("selection");
    this.reset = h("button", { type: "button", class: "plain reset", onclick: () => change({ model: "", detector: "", set: "", page: "" }) }, "Clear all");
    const inside = h("div", { id, class: "fields" }, Object.values(this.fields).map((each) => each.element), this.reset);
    this.summary = h("button", { type: "button", class: "summary", "aria-expanded": "false", "aria-controls": id });
    this.summary.addEventListener("click", () => {
      const open = this.summary.getAttribute("aria-expanded") !== "true";
      this.summary.setAttribute("aria-expanded", String(open));
      inside.classList.toggle("open", open);
    });
    return h("search", { class: "selection", "aria-label": "Selection" }, this.summary, inside);
  }

  update(state) {
    for (const [key, field] of Object.entries(this.fields)) field.set(state[key]);
    const chosen = Object.keys(this.fields).filter((key) => state[key]);
    this.summary.textContent = chosen.length ? chosen.map((key) => state[key]).join(" · ") : "Select a model, detector or set";
    this.reset.hidden = !chosen.length;
  }
}
