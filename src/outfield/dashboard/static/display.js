/** One display of a study: charts, caption and numbers, fetched when it comes near the screen. */

import { get, url } from "./api.js";
import { Chart } from "./charts.js";
import { h, svg } from "./dom.js";
import { failed, skeleton } from "./notices.js";
import { table } from "./table.js";

const PATHS = {
  circle: "M4.5 0a4.5 4.5 0 1 1-9 0 4.5 4.5 0 0 1 9 0z", square: "M-4-4h8v8h-8z", cross: "M-5-1.7h3.3V-5h3.4v3.3H5v3.4H1.7V5h-3.4V1.7H-5z",
  diamond: "M0-5.5 4.5 0 0 5.5-4.5 0z", "triangle-up": "M0-5 5 4h-10z", "triangle-down": "M0 5 5-4h-10z", "triangle-right": "M5 0-4 5v-10z",
  "triangle-left": "M-5 0 4 5v-10z", pentagon: "M0-5 4.75-1.55 2.95 4.05-2.95 4.05-4.75-1.55z",
};
const MEANINGS = { family: "family of strategies", information: "information used" };

const legend = (answer) => {
  if (!answer.legend.length) return null;
  const items = answer.legend.map(([name, colour, shape]) => {
    const mark = svg("path", { d: PATHS[shape] ?? PATHS.circle, fill: colour });
    return h("li", {}, svg("svg", { width: 12, height: 12, viewBox: "-6 -6 12 12", "aria-hidden": "true" }, mark), ` ${name}`);
  });
  return h("ul", { class: "legend", "aria-label": `Colours: ${MEANINGS[answer.legend_of] ?? ""}` }, items);
};

/** A display in its article. `context` has study, names, pick(found) and selection(). */
export class DisplayView {
  constructor({ id, title }, context) {
    Object.assign(this, { id, title, context, charts: [], specs: null, near: false, shown: null });
    const heading = h("h3", { id: `title-${id}`, tabindex: "-1" }, title);
    this.follows = h("p", { class: "follows" });
    this.figure = h("div", {});
    this.numbers = h("div", {});
    this.place = h("div", { class: "display" }, skeleton(5, "tall"));
    this.element = h("article", { id, "aria-labelledby": heading.id }, heading, this.follows, this.place);
  }

  /** Show the present selection, now or when the display comes near the screen. */
  update() {
    for (const chart of this.charts) chart.follow(this.context.selection());
    if (this.near) this.fetch();
  }

  /** Told that the display is near the screen, or no longer. */
  approach(near) {
    this.near = near;
    if (near) this.fetch();
  }

  async fetch() {
    const selection = this.context.selection();
    const key = JSON.stringify(selection);
    if (this.shown === key) return;
    this.shown = key;
    this.place.setAttribute("aria-busy", "true");
    try {
      const answers = await this.ask(selection);
      if (this.shown === key) await this.show(...answers, selection);
    } catch (error) {
      if (this.shown !== key) return;
      this.shown = null;
      this.reset(failed(error, () => this.fetch()));
    }
    if (this.shown === key || this.shown === null) this.place.removeAttribute("aria-busy");
  }

  /** Charts and numbers. What marks carry is not cut out of the charts: there the selection stands out from the rest. */
  async ask(selection) {
    const { study, names } = this.context;
    const one = (part) => get(["studies", study.folder, "displays", this.id], part, { keep: !study.running });
    this.carried ??= names.carried((await one({})).specs ?? []);
    const rest = Object.fromEntries(Object.entries(selection).filter(([key]) => !this.carried.includes(key)));
    return Promise.all([one(rest), one(selection)]);
  }

  reset(...content) {
    for (const chart of this.charts) chart.close();
    this.charts = [];
    this.specs = null;
    this.place.replaceChildren(...content);
  }

  async show(drawn, listed, selection) {
    const chosen = (drawn.follows ?? []).filter((key) => selection[key]);
    this.follows.textContent = chosen.length ? `For ${chosen.map((key) => `${key} ${selection[key]}`).join(", ")}` : "";
    this.name(drawn.title);
    if (drawn.empty) return this.reset(h("p", { class: "missing" }, drawn.empty));
    this.numbers.replaceChildren(...this.rows(listed, selection));
    const specs = JSON.stringify([drawn.specs, drawn.note, drawn.about]);
    if (specs === this.specs) return undefined;
    this.reset(this.figure, this.numbers);
    this.specs = specs;
    return this.draw(drawn, selection);
  }

  name(title) {
    if (!title || title === this.title) return;
    this.title = title;
    this.element.querySelector("h3").textContent = title;
    this.context.named?.(this.id, title);
  }

  draw(answer, selection) {
    const { names, pick } = this.context;
    const places = answer.specs.map((spec, at) => {
      const { title, min_width: width } = answer.charts?.[at] ?? {};
      const place = h("div", { class: "vega", style: { "min-width": `${width ?? 280}px` } });
      this.charts.push(new Chart(place, spec, { names, selection, pick }));
      const box = h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": `Chart: ${title || this.title}` }, place);
      return h("div", { class: "chart" }, title && h("p", { class: "chart-title" }, title), box);
    });
    const across = [3, 5, 6, 9].includes(places.length) ? 3 : places.length > 12 ? 6 : Math.min(places.length, 4);
    const least = Math.max(0, ...(answer.charts ?? []).map((each) => each.min_width));
    const captions = [...new Set([answer.about, answer.note].filter(Boolean))];
    this.figure.replaceChildren(
      h(
        "figure",
        { "aria-labelledby": `title-${this.id}` },
        places.length > 0 && h("div", { class: "charts", style: { "--most": across, "--least": `${least}px` } }, places),
        legend(answer),
        captions.map((text) => h("figcaption", {}, text)),
      ),
    );
    return Promise.all(this.charts.map((chart) => chart.draw()));
  }

  rows(answer, selection) {
    const { study, names, pick } = this.context;
    const href = url(["studies", study.folder, "displays", `${this.id}.csv`], selection);
    const download = h("a", { class: "plain csv", href, download: `${this.id}.csv` }, `Download ${this.id}.csv`);
    const all = answer.n ?? answer.rows.length;
    const count = all > answer.rows.length ? `first ${answer.rows.length} of ${all} rows` : `${all} ${all === 1 ? "row" : "rows"}`;
    const open = this.numbers.querySelector("details")?.open ?? (answer.specs.length === 0 || answer.open);
    const content = answer.rows.length
      ? table(this.title, answer.columns, answer.rows, { names, selection, pick })
      : h("p", { class: "missing" }, "No row of this table belongs to the selection. Clear a part of it.");
    const summary = h("summary", {}, "The numbers ", h("span", { class: "count" }, `(${count})`));
    return [h("details", { open }, summary, h("p", {}, download), content)];
  }

  close() {
    this.reset();
  }
}
