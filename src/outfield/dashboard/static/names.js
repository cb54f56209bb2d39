/** What the words in a study's charts and tables stand for. */

const OTHER = new Set(["family", "information", "category", "role", "metric", "set_kind", "ood_category", "part", "shift", "study"]);

/** Lookup of a study's models, strategies, detectors and sets. */
export class Names {
  constructor(study) {
    this.models = new Map((study.models ?? []).map((each) => [each.model, each]));
    this.detectors = new Map((study.detectors ?? []).map((each) => [each.name, each]));
    this.sets = new Map((study.sets ?? []).map((each) => [each.name, each]));
    this.strategies = new Map();
    for (const each of this.models.values()) {
      if (each.strategy && !this.strategies.has(each.strategy)) this.strategies.set(each.strategy, each.model);
    }
  }

  /** What kind of name a word is: model, strategy, detector or set; in doubt the earlier. */
  kind(word, column = "") {
    const kinds = { model: this.models, strategy: this.strategies, detector: this.detectors, set: this.sets };
    if (kinds[column]?.has(word)) return column;
    return Object.keys(kinds).find((kind) => kinds[kind].has(word)) ?? null;
  }

  /** The names among the values of a mark's data or of a table's row: {model, strategy, detector, set}. */
  among(entries) {
    const found = {};
    for (const [column, value] of entries) {
      if (typeof value !== "string" || OTHER.has(column)) continue;
      const word = [value, value.replace(/^[^:]+: /, ""), value.replace(/\s+[\d.]+$/, "")].find((each) => this.kind(each, column));
      const kind = word && this.kind(word, column);
      if (kind && !(kind in found)) found[kind] = word;
    }
    return found;
  }

  /** Which fields of the selection the marks of some charts can show by themselves: two names or more of a kind. */
  carried(specs) {
    const seen = { model: new Set(), strategy: new Set(), detector: new Set(), set: new Set() };
    for (const values of specs.flatMap(tables)) {
      for (const row of values) for (const [kind, name] of Object.entries(this.among(Object.entries(row)))) seen[kind].add(name);
    }
    seen.model = new Set([...seen.model, ...seen.strategy]);
    return ["model", "detector", "set"].filter((kind) => seen[kind].size > 1);
  }

  /** The selection that a click on those names makes; of a strategy its first model stands for it. */
  selection(found, now) {
    const chosen = {};
    if (found.detector) chosen.detector = found.detector;
    if (found.set) chosen.set = found.set;
    if (found.model) chosen.model = found.model;
    else if (found.strategy) chosen.model = this.strategyOf(now.model) === found.strategy ? now.model : this.strategies.get(found.strategy);
    const same = Object.entries(chosen).every(([key, value]) => now[key] === value);
    return same ? Object.fromEntries(Object.keys(chosen).map((key) => [key, ""])) : chosen;
  }

  strategyOf(model) {
    return this.models.get(model)?.strategy;
  }

  /** How well names agree with the selection: 1 all, 0 none, between some; null where they have nothing to do with it. */
  agreement(found, selection) {
    const checks = [];
    if (selection.model && found.model) checks.push(found.model === selection.model);
    else if (selection.model && found.strategy) checks.push(found.strategy === this.strategyOf(selection.model));
    if (selection.detector && found.detector) checks.push(found.detector === selection.detector);
    if (selection.set && found.set) checks.push(found.set === selection.set);
    return checks.length ? checks.filter(Boolean).length / checks.length : null;
  }
}

/** Every inline table of a chart. */
const tables = (spec) => {
  if (spec === null || typeof spec !== "object") return [];
  if (Array.isArray(spec)) return spec.flatMap(tables);
  const own = Array.isArray(spec.data?.values) ? [spec.data.values] : [];
  const named = Object.values(spec.datasets ?? {}).filter(Array.isArray);
  const inside = Object.entries(spec).filter(([key]) => key !== "data" && key !== "datasets").flatMap(([, value]) => tables(value));
  return [...own, ...named, ...inside];
};
