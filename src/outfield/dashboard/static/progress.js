/** A running study, live: the server tells when something is done. */

import { forget, get, url } from "./api.js";
import { h, number, plural, say } from "./dom.js";
import { failed, into } from "./notices.js";
import { progressBar } from "./studies.js";

const duration = (minutes) => (minutes < 1 ? "less than a minute" : minutes < 90 ? `about ${plural(Math.round(minutes), "minute")}` : `about ${number(minutes / 60, 1)} hours`);

const over = (now) => now.total > 0 && now.done >= now.total;

const rest = (now) => {
  const left = now.total - now.done;
  if (!now.total) return "There is no job here: the study has not begun, or its folder is gone.";
  if (over(now)) return "Every job is done.";
  if (!now.running) return `Nothing runs now; ${plural(left, "job")} are not done. Run the study again to go on: finished jobs are kept.`;
  return now.rate_per_minute > 0 ? `${number(now.rate_per_minute, 1)} jobs a minute; ${duration(left / now.rate_per_minute)} to go.` : "The first jobs take longest; no rate yet.";
};

class ProgressView {
  constructor(main, context) {
    this.context = context;
    this.link = h("p", { class: "note", role: "status" });
    this.place = h("div", { class: "display" });
    main.replaceChildren(h("section", { "aria-labelledby": "h-progress" }, h("h2", { id: "h-progress" }, "Progress"), this.place, this.link));
    into(this.place, () => get(["studies", context.study.folder, "progress"]), (now) => this.show(now), { lines: 4, what: "Progress" }).then(() => this.connect());
  }

  connect() {
    if (this.closed || !this.now || over(this.now)) return;
    this.source = new EventSource(url(["studies", this.context.study.folder, "events"]));
    this.source.onopen = () => this.state("Live: this page follows the study.");
    this.source.onmessage = (event) => {
      this.place.replaceChildren(...this.show(JSON.parse(event.data)));
      if (over(this.now)) this.close();
    };
    this.source.onerror = () => this.state(this.source.readyState === EventSource.CLOSED ? "The live connection ended. Reload the page to see more." : "The live connection is lost; trying again.");
  }

  state(text) {
    this.link.textContent = text;
  }

  show(now) {
    if (now.error) return [failed(new Error(now.error))];
    if (this.now && this.now.done !== now.done) {
      forget();
      say(`${now.done} of ${now.total} jobs done`);
    }
    this.now = now;
    const recent = (now.recent ?? []).map((title) => h("li", {}, title));
    return [
      progressBar({ ...now, name: this.context.study.name }),
      h("p", {}, rest(now)),
      ...(recent.length ? [h("h3", {}, "Last done"), h("ol", { class: "recent" }, recent)] : []),
    ];
  }

  update() {}

  close() {
    this.closed = true;
    this.state("");
    this.source?.close();
  }
}

/** The view of a study's progress. */
export const mount = (main, context) => new ProgressView(main, context);
