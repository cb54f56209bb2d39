/** Vega-Lite charts in the colours of the page; marks follow the selection, and a click on a mark makes one. */

import { h } from "./dom.js";

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif";
const ERRORS = 1;
const dark = matchMedia("(prefers-color-scheme: dark)");
const drawn = new Set();
let library = null;

/** The same look as in the report; the ink comes from the style sheet, light and dark. */
const CONFIG = {
  background: "transparent", font: FONT, padding: 2, view: { stroke: null }, text: { font: FONT },
  axis: { labelFontSize: 11, titleFontSize: 12, titleFontWeight: "normal", titlePadding: 8 },
  legend: { titleFontWeight: "normal", labelFontSize: 11.5, titleFontSize: 11.5 },
};

const load = () => {
  library ??= new Promise((done, fail) => {
    const script = h("script", { src: "/static/vega.js" });
    script.onload = () => done(window.vegaEmbed);
    script.onerror = () => {
      library = null;
      script.remove();
      fail(new Error("The drawing library could not be loaded. Reload the page."));
    };
    document.head.append(script);
  });
  return library;
};

/** A chart in a place of its own; `names` and `selection` say which marks stand out, `pick` hears of clicks. */
export class Chart {
  constructor(place, spec, { names, selection, pick }) {
    Object.assign(this, { place, spec, names, selection, pick, view: null });
    this.resized = new ResizeObserver(() => requestAnimationFrame(() => this.mark()));
  }

  async draw() {
    const embed = await load();
    this.view?.finalize();
    try {
      const made = await embed(this.place, structuredClone(this.spec), {
        renderer: "svg", actions: false, ast: true, config: CONFIG, logLevel: ERRORS, tooltip: { theme: dark.matches ? "dark" : "light" },
      });
      this.view = made.view;
    } catch (error) {
      this.place.replaceChildren(h("p", { class: "missing" }, `This chart could not be drawn: ${error.message}`));
      return;
    }
    this.speak();
    drawn.add(this);
    this.resized.observe(this.place);
    this.view.addEventListener("click", (_, item) => this.clicked(item));
    this.mark();
  }

  /** Marks without words say nothing to a screen reader: the chart has a description, and its numbers stand below. */
  speak() {
    const silent = ["graphics-symbol", "img"].flatMap((role) => [`[role="${role}"]:not([aria-label])`, `[role="${role}"][aria-label=""]`]);
    for (const element of this.place.querySelectorAll(silent.join())) element.setAttribute("aria-hidden", "true");
  }

  /** Let the marks follow a selection. */
  follow(selection) {
    this.selection = selection;
    this.mark();
  }

  close() {
    drawn.delete(this);
    this.resized.disconnect();
    this.view?.finalize();
  }

  clicked(item) {
    const found = item?.datum ? this.names.among(Object.entries(item.datum)) : {};
    if (Object.keys(found).length) this.pick(found);
  }

  mark() {
    for (const element of this.place.querySelectorAll("svg path, svg text, svg line, svg rect")) {
      const item = element.__data__;
      if (!item?.datum || !item.mark) continue;
      const role = item.mark.role;
      if (role === "mark") this.shade(element, item.datum);
      else if (role === "axis-label") this.name(element, item.datum.value);
    }
  }

  shade(element, datum) {
    const found = this.names.among(Object.entries(datum));
    const agreement = this.names.agreement(found, this.selection);
    element.classList.toggle("clickable", Object.keys(found).length > 0);
    element.classList.toggle("dim", agreement === 0);
    element.classList.toggle("half", agreement !== null && agreement > 0 && agreement < 1);
  }

  name(element, word) {
    const agreement = this.names.agreement(this.names.among([["", word]]), this.selection);
    element.classList.toggle("picked", agreement === 1);
  }
}

dark.addEventListener("change", () => {
  for (const chart of drawn) chart.draw();
});
