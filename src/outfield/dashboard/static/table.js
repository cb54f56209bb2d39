/** Tables: headings that sort, cells that select, rows that follow the selection. */

import { fresh, h, plural, say } from "./dom.js";

/** The value of a cell for sorting: a number where it is one, null where it is empty. */
export const value = (text) => {
  if (text === null || text === undefined || text === "") return null;
  const plain = Number(String(text).replaceAll(",", ""));
  return Number.isNaN(plain) ? String(text).toLowerCase() : plain;
};

/** Compare two cells; empty ones come last, whichever way. */
export const compare = (a, b, descending) => {
  const [x, y] = [value(a), value(b)];
  if (x === null || y === null) return (x === null) - (y === null);
  const order = typeof x === typeof y ? (x > y ? 1 : x < y ? -1 : 0) : typeof x === "number" ? -1 : 1;
  return descending ? -order : order;
};

const heading = (column, sort, choose) => {
  const state = sort?.column === column.name ? (sort.descending ? "descending" : "ascending") : null;
  const title = column.title ?? column.name.replaceAll("_", " ");
  const button = h("button", { type: "button", onclick: () => choose(column.name), "data-column": column.name }, title);
  return h("th", { scope: "col", class: column.numeric ? "number" : null, "aria-sort": state }, button);
};

const cell = (text, column, { names, selection, pick }) => {
  const known = typeof text === "string" && !column.numeric && names?.among([[column.name, text]]);
  const shown = text === null || text === undefined ? "" : String(text);
  if (!known || !Object.keys(known).length) return [shown];
  const chosen = names.agreement(known, selection) === 1;
  const choose = (event) => {
    event.stopPropagation();
    pick(known);
  };
  return [h("button", { type: "button", class: "name", "aria-pressed": String(chosen), onclick: choose }, shown)];
};

const body = (columns, rows, context) =>
  rows.map((row) => {
    const { names, selection, pick } = context;
    const found = names ? names.among(columns.map((column, at) => [column.name, row[at]])) : {};
    const chosen = names && names.agreement(found, selection) === 1;
    const cells = columns.map((column, at) => {
      const inside = cell(row[at], column, context);
      const attributes = { class: column.numeric ? "number" : null };
      return at === 0 ? h("th", { scope: "row", ...attributes }, inside) : h("td", attributes, inside);
    });
    const click = Object.keys(found).length ? () => !getSelection().toString() && pick(found) : null;
    return h("tr", { class: [chosen && "chosen", click && "clickable"].filter(Boolean).join(" ") || null, onclick: click }, cells);
  });

/** A table as it is, in a box that scrolls sideways. `choose(column)` hears of a click on a heading. */
export const plainTable = (title, columns, rows, { sort, choose, ...context }) => {
  const head = h("thead", {}, h("tr", {}, columns.map((column) => heading(column, sort, choose))));
  const table = h("table", {}, h("caption", { class: "visually-hidden" }, title), head, h("tbody", {}, body(columns, rows, context)));
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": `Table: ${title}` }, table);
};

/** A table that sorts and filters what it has. */
export const table = (title, columns, rows, context) => {
  const place = h("div", {});
  const state = { sort: null, filter: "" };
  const id = fresh("filter");
  const count = h("span", { class: "count", "aria-live": "polite" });
  const choose = (name) => {
    const again = state.sort?.column === name;
    state.sort = { column: name, descending: again ? !state.sort.descending : columns.find((each) => each.name === name).numeric };
    show();
    place.querySelector(`[data-column="${CSS.escape(name)}"]`)?.focus();
    say(`Sorted by ${name}, ${state.sort.descending ? "largest first" : "smallest first"}`);
  };
  const show = () => {
    const words = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
    let kept = rows.filter((row) => words.every((word) => row.some((text) => String(text ?? "").toLowerCase().includes(word))));
    const at = columns.findIndex((column) => column.name === state.sort?.column);
    if (at >= 0) kept = [...kept].sort((a, b) => compare(a[at], b[at], state.sort.descending));
    count.textContent = words.length ? `${kept.length} of ${plural(rows.length, "row")}` : "";
    const shown = plainTable(title, columns, kept, { ...context, sort: state.sort, choose });
    place.replaceChildren(kept.length ? shown : h("p", { class: "missing" }, "No row has these words. Change the filter."));
  };
  const filter = h("input", {
    id, type: "search", placeholder: "words to find", autocomplete: "off",
    oninput: (event) => { state.filter = event.target.value; show(); },
  });
  show();
  const tools = rows.length > 8 && h("p", { class: "filter" }, h("label", { for: id }, "Filter"), filter, count);
  return [tools, place].filter(Boolean);
};
