/** Elements from a few words, and the sentences that a screen reader hears. */

const fill = (element, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
};

/** An HTML element: h("p", {class: "note"}, "text", other). Text is never read as markup. */
export const h = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

/** An SVG element. */
export const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

/** Say something to a screen reader, without moving the focus. */
export const say = (text) => {
  document.getElementById("status").textContent = text;
};

let count = 0;

/** An id that no other element has. */
export const fresh = (word) => `${word}-${(count += 1)}`;

/** A number as text with so many decimals, and thousands apart; an absent one is a dash. */
export const number = (value, decimals = 0) =>
  value === null || value === undefined || Number.isNaN(value)
    ? "–"
    : value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });

/** "1 row", "2 rows". */
export const plural = (n, word) => `${number(n)} ${word}${n === 1 ? "" : "s"}`;
