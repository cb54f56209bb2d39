/** What stands where there is nothing yet, nothing at all, or an error. */

import { h, say } from "./dom.js";

/** Grey bars in the place of what is coming. */
export const skeleton = (lines = 4, kind = "") => {
  const bars = Array.from({ length: lines }, (_, at) => h("span", { style: { width: `${[92, 78, 86, 64, 72][at % 5]}%` } }));
  return h("div", { class: `skeleton ${kind}`, "aria-hidden": "true" }, bars);
};

/** Why there is nothing, and what to do about it. */
export const empty = (title, text, ...more) =>
  h("div", { class: "notice" }, h("p", { class: "notice-title" }, title), h("p", {}, text), more);

/** An error with its words and a button to try again. */
export const failed = (error, again) => {
  console.info(error.message);
  return h(
    "div",
    { class: "notice failed", role: "alert" },
    h("p", { class: "notice-title" }, "This could not be loaded"),
    h("p", {}, error.message),
    again && h("p", {}, h("button", { type: "button", class: "plain", onclick: again }, "Try again")),
  );
};

/**
 * Put into `place` what `load` promises: a skeleton first, then `show(answer)`, or the error with a button.
 * A later call for the same place makes an earlier one void.
 */
export const into = async (place, load, show, { lines = 4, kind = "", what = "" } = {}) => {
  const turn = (place.turn = (place.turn ?? 0) + 1);
  const old = place.childElementCount > 0 && !place.querySelector(":scope > .skeleton, :scope > .notice");
  if (!old) place.replaceChildren(skeleton(lines, kind));
  place.setAttribute("aria-busy", "true");
  if (what) say(`Loading ${what}`);
  try {
    const answer = await load();
    if (turn !== place.turn) return;
    place.replaceChildren(...[show(answer)].flat());
    if (what) say(`${what} loaded`);
  } catch (error) {
    if (turn !== place.turn || error.name === "AbortError") return;
    place.replaceChildren(failed(error, () => into(place, load, show, { lines, kind, what })));
  }
  if (turn === place.turn) place.removeAttribute("aria-busy");
};
