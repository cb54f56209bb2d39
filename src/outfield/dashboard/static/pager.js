/** Pages: where one is, and the links to go on. */

import { h, number } from "./dom.js";
import { address } from "./state.js";

const link = (text, page, on) =>
  on ? h("a", { class: "plain", href: address({ page: page > 1 ? page : "" }) }, text) : h("span", { class: "plain off", "aria-hidden": "true" }, text);

/** Links to the pages before and after an answer {total, page, size}. */
export const pager = ({ total, page, size }, what) => {
  const last = Math.max(1, Math.ceil(total / size));
  const first = (page - 1) * size + 1;
  return h(
    "nav",
    { class: "pager", "aria-label": `Pages of ${what}` },
    link("First", 1, page > 1),
    link("Previous", page - 1, page > 1),
    h("span", { class: "count" }, `${number(first)}–${number(Math.min(total, page * size))} of ${number(total)}`),
    link("Next", page + 1, page < last),
    link("Last", last, page < last),
  );
};
