/** The rows of a study, page by page: sorted and filtered by the server. */

import { get, url } from "./api.js";
import { h, plural } from "./dom.js";
import { into } from "./notices.js";
import { pager } from "./pager.js";
import { change, read } from "./state.js";
import { plainTable } from "./table.js";

const SIZE = 50;

const FIRST = ["model", "detector", "ood", "part", "metric", "value", "low", "high"];

/** Places of the columns as they are shown: what was measured first, then the rest. */
const order = (columns) => {
  const rank = ({ name }) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  return [...columns.keys()].sort((a, b) => rank(columns[a]) - rank(columns[b]) || a - b);
};

/** A stored value as text: numbers that are not whole to five digits. */
const text = (value) => (typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(5))) : value);

class RowsView {
  constructor(main, context) {
    this.context = context;
    this.metric = h("select", { id: "metric", onchange: () => change({ metric: this.metric.value, page: "" }) }, h("option", { value: "" }, "all measures"));
    this.download = h("a", { class: "plain csv", download: `${context.study.folder}-rows.csv` }, "Download these rows");
    this.place = h("div", { class: "display" });
    main.replaceChildren(
      h(
        "section",
        { "aria-labelledby": "h-rows" },
        h("h2", { id: "h-rows" }, "Numbers"),
        h("p", { class: "note" }, "Every stored row of the selection, as it was measured. Cells with a name select it."),
        h("div", { class: "tools" }, h("label", { for: "metric" }, "Measure"), this.metric, this.download),
        this.place,
      ),
    );
    this.update(read());
  }

  query(state) {
    const { model, detector, set, metric, sort, descending } = state;
    return { model, detector, set, metric, sort, descending };
  }

  update(state) {
    const query = this.query(state);
    const page = Number(state.page) || 1;
    this.download.setAttribute("href", url(["studies", this.context.study.folder, "rows.csv"], query));
    into(this.place, () => get(["studies", this.context.study.folder, "rows"], { ...query, page, size: SIZE }), (answer) => this.show(answer, state), { lines: 10, what: "Rows" });
  }

  show(answer, state) {
    this.menu(answer.metrics ?? [], state.metric ?? "");
    if (!answer.total) return h("p", { class: "missing" }, "No row belongs to this selection. Clear a part of it, or choose another measure.");
    const { names, pick, selection } = this.context;
    const sort = state.sort && { column: state.sort, descending: state.descending === "true" };
    const choose = (column) => {
      const descending = sort?.column === column ? !sort.descending : true;
      this.focus = column;
      change({ sort: column, descending: String(descending), page: "" });
    };
    const places = order(answer.columns);
    const written = answer.rows.map((row) => places.map((at) => text(row[at])));
    const shown = plainTable("Rows", places.map((at) => answer.columns[at]), written, { names, pick, selection: selection(), sort, choose });
    queueMicrotask(() => this.refocus());
    return [h("p", { class: "note" }, plural(answer.total, "row")), shown, pager(answer, "rows")];
  }

  refocus() {
    if (this.focus) this.place.querySelector(`[data-column="${CSS.escape(this.focus)}"]`)?.focus();
    this.focus = null;
  }

  menu(metrics, chosen) {
    const wanted = [...new Set([...metrics, chosen])].filter(Boolean);
    const options = wanted.map((name) => h("option", { value: name }, name.replaceAll("_", " ")));
    this.metric.replaceChildren(h("option", { value: "" }, "all measures"), ...options);
    this.metric.value = chosen;
  }

  close() {}
}

/** The view of a study's rows. */
export const mount = (main, context) => new RowsView(main, context);
