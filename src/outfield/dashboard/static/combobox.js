/** A field that chooses one of many names: type to search, arrows and Enter, or click. (ARIA's combobox pattern.) */

import { fresh, h } from "./dom.js";

const option = (each, id, choose) =>
  h(
    "li",
    { role: "option", id, "aria-selected": "false", "data-value": each.value, onmousedown: (event) => { event.preventDefault(); choose(each.value); } },
    h("span", {}, each.text),
    each.note && h("span", { class: "aside" }, each.note),
  );

/** A field with a label; `options` are {value, text, note}; `choose(value)` hears of the choice, "" takes it back. */
export class Combobox {
  constructor({ label, all, options, value, choose }) {
    Object.assign(this, { all, value, options: [{ value: "", text: all }, ...options], tell: choose, active: -1 });
    const [id, list] = [fresh("field"), fresh("list")];
    this.input = h("input", {
      id, role: "combobox", type: "text", autocomplete: "off", spellcheck: "false", "aria-expanded": "false",
      "aria-controls": list, "aria-autocomplete": "list", placeholder: all,
      onfocus: () => this.input.select(), onclick: () => this.open(), onblur: () => this.shut(),
      oninput: () => this.open(this.input.value), onkeydown: (event) => this.key(event),
    });
    this.list = h("ul", { id: list, role: "listbox", "aria-label": label, hidden: true });
    this.clear = h("button", { type: "button", class: "clear", "aria-label": `Clear ${label.toLowerCase()}`, onclick: () => this.choose("") }, "×");
    this.element = h("div", { class: "combobox" }, h("label", { for: id }, label), h("div", { class: "field" }, this.input, this.clear, this.list));
    this.set(value);
  }

  /** Show a choice without telling anybody. */
  set(value) {
    this.value = value ?? "";
    this.input.value = this.options.find((each) => each.value === this.value && each.value)?.text ?? this.value;
    this.clear.hidden = !this.value;
    this.element.classList.toggle("has-value", Boolean(this.value));
  }

  open(search = "") {
    const words = search.toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.options.filter((each) => words.every((word) => `${each.text} ${each.note ?? ""}`.toLowerCase().includes(word)));
    const named = (each) => words.every((word) => each.text.toLowerCase().includes(word));
    found.sort((a, b) => named(b) - named(a));
    const items = found.map((each, at) => option(each, `${this.list.id}-${at}`, (value) => this.choose(value)));
    this.list.replaceChildren(...(items.length ? items : [h("li", { class: "none" }, `Nothing is named so. ${this.options.length - 1} to choose from.`)]));
    this.found = found;
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.point(search ? 0 : found.findIndex((each) => each.value === this.value));
  }

  shut() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    this.set(this.value);
  }

  point(at) {
    if (!this.found?.length) return;
    this.active = Math.max(0, Math.min(this.found.length - 1, at));
    [...this.list.children].forEach((item, place) => item.setAttribute("aria-selected", String(place === this.active)));
    const item = this.list.children[this.active];
    item.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", item.id);
  }

  choose(value) {
    this.set(value);
    this.shut();
    this.tell(value);
  }

  key(event) {
    const shut = this.list.hidden;
    if (event.key === "ArrowDown") shut ? this.open() : this.point(this.active + 1);
    else if (event.key === "ArrowUp") shut ? this.open() : this.point(this.active - 1);
    else if (event.key === "Enter" && !shut && this.found.length) this.choose(this.found[this.active].value);
    else if (event.key === "Escape" && !shut) this.shut();
    else return;
    event.preventDefault();
  }
}
