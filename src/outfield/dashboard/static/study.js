/** A study: the answer, its findings, and every display, linked by the selection. */

import { get } from "./api.js";
import { DisplayView } from "./display.js";
import { h } from "./dom.js";
import { empty, into } from "./notices.js";
import { address, read } from "./state.js";

const SEVERITIES = { error: "serious", warning: "warning", info: "note" };

const answer = (study) =>
  (study.answer ?? []).length + (study.cautions ?? []).length > 0 &&
  h(
    "section",
    { class: "answer", "aria-labelledby": "h-answer" },
    h("h2", { id: "h-answer" }, "The answer"),
    h("ol", {}, (study.answer ?? []).map((sentence) => h("li", {}, sentence))),
    (study.cautions ?? []).map((text) => h("p", { class: "caution" }, text)),
  );

const finding = (group) => {
  const { code, severity, title } = group[0];
  const head = [h("span", { class: "code" }, code), h("span", { class: "severity" }, SEVERITIES[severity] ?? severity), " ", h("strong", {}, title)];
  const texts = group.map((each) => each.text).filter((text) => text && text !== title);
  const said = texts.length > 1 ? h("ul", {}, texts.map((text) => h("li", {}, text))) : texts.map((text) => h("p", {}, text));
  return h("li", { class: `finding ${severity}` }, h("p", { class: "finding-head" }, head), said);
};

const cards = ({ findings, unchecked }) => {
  const groups = new Map();
  for (const each of findings ?? []) groups.set(each.code, [...(groups.get(each.code) ?? []), each]);
  if (groups.size) return h("ul", { class: "findings" }, [...groups.values()].map(finding));
  return h("p", { class: unchecked ? "missing" : "note" }, unchecked || "The checks of the data and of the statistics found nothing to tell.");
};

/** What the checks found; where they take longer than the rest, they are waited for apart. */
const findings = (study) => {
  if (study.kind === "trajectory") return null;
  const place = h("div", {});
  if (study.pending?.includes("findings")) into(place, () => get(["studies", study.folder, "findings"]), cards, { what: "Findings" });
  else place.append(cards(study));
  return h("section", { "aria-labelledby": "h-findings" }, h("h2", { id: "h-findings" }, "Findings"), place);
};

class StudyView {
  constructor(main, context) {
    this.context = context;
    const { study } = context;
    context.named = (id, title) => this.link(id)?.replaceChildren(title);
    this.displays = (study.sections ?? []).flatMap((section) => section.displays.map((each) => new DisplayView(each, context)));
    const byId = new Map(this.displays.map((each) => [each.id, each]));
    const sections = (study.sections ?? []).map((section, at) =>
      h("section", { "aria-labelledby": `s${at}` }, h("h2", { id: `s${at}` }, section.title), section.displays.map(({ id }) => byId.get(id).element)),
    );
    const none = !sections.length && empty("Nothing to show yet", "This study has no finished job. Its progress says how far it is.", h("a", { href: address({ view: "progress" }) }, "Progress"));
    main.replaceChildren(h("div", { class: "with-rail" }, this.rail(study), h("div", { class: "content" }, [answer(study), findings(study), sections, none].flat().filter(Boolean))));
    this.watch();
  }

  rail(study) {
    if (!study.sections?.length) return "";
    const link = ({ id, title }, kind = null) => h("a", { href: address({ display: id }), "data-display": kind ? null : id, "data-to": id, class: kind }, title);
    const parts = study.sections.map((section) => h("li", {}, link({ id: section.displays[0].id, title: section.title }, "rail-section"), h("ul", {}, section.displays.map((each) => h("li", {}, link(each))))));
    this.railElement = h("nav", { class: "rail", "aria-label": "Displays" }, h("ul", {}, parts));
    return this.railElement;
  }

  watch() {
    const of = (entry) => this.displays.find((each) => each.element === entry.target);
    this.near = new IntersectionObserver((entries) => entries.forEach((entry) => of(entry).approach(entry.isIntersecting)), { rootMargin: "500px 0px" });
    this.seen = new IntersectionObserver((entries) => entries.forEach((entry) => this.current(of(entry).id, entry.isIntersecting)), { rootMargin: "-25% 0px -65% 0px" });
    for (const display of this.displays) {
      this.near.observe(display.element);
      this.seen.observe(display.element);
    }
  }

  link(id) {
    return this.railElement?.querySelector(`[data-display="${CSS.escape(id)}"]`);
  }

  current(id, on) {
    if (on) this.link(id)?.setAttribute("aria-current", "true");
    else this.link(id)?.removeAttribute("aria-current");
  }

  /** Scroll to the display that the address names. */
  reach(id, { focus = true } = {}) {
    const display = this.displays.find((each) => each.id === id);
    if (!display) return;
    if (focus) display.element.querySelector("h3").focus({ preventScroll: true });
    this.hold(display.element);
  }

  /** Keep an element at the top while what is above it still grows, until the reader moves. */
  hold(element) {
    this.release?.();
    const place = () => element.scrollIntoView({ block: "start", behavior: "instant" });
    const growing = new ResizeObserver(place);
    const moves = ["wheel", "touchstart", "pointerdown", "keydown"];
    this.release = () => {
      growing.disconnect();
      for (const move of moves) removeEventListener(move, this.release);
      this.release = null;
    };
    for (const move of moves) addEventListener(move, this.release);
    growing.observe(element.closest(".content"));
    place();
  }

  update(state, before) {
    if (state.display && state.display !== before.display) this.reach(state.display);
    for (const link of this.railElement?.querySelectorAll("a") ?? []) link.setAttribute("href", address({ display: link.dataset.to }));
    for (const display of this.displays) display.update();
  }

  close() {
    this.release?.();
    this.near.disconnect();
    this.seen.disconnect();
    for (const display of this.displays) display.close();
  }
}

/** The view of one study. */
export const mount = (main, context) => {
  const view = new StudyView(main, context);
  if (read().display) requestAnimationFrame(() => view.reach(read().display, { focus: false }));
  return view;
};
