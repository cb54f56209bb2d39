/** Percentiles of many detectors on one line from 0 to 100. */

import { svg } from "./dom.js";

/** Above this percentile a detector that lets 5% of ID inputs fail says "OOD". */
export const ALARM = 95;

/** A small strip of ticks, one a detector; the selected detector's is tall. */
export const strip = (points, selected) => {
  const known = points.filter((each) => each.percentile !== null && each.percentile !== undefined);
  const above = known.filter((each) => each.percentile >= ALARM).length;
  const chosen = known.find((each) => each.detector === selected);
  const words = `${above} of ${known.length} detectors put it at or above the ${ALARM}th percentile of ID inputs${chosen ? `; ${selected} at ${chosen.percentile.toFixed(1)}` : ""}`;
  const ticks = known
    .sort((a, b) => (a.detector === selected) - (b.detector === selected))
    .map((each) => {
      const [x, mark] = [each.percentile, each.detector === selected];
      return svg("line", { class: mark ? "tick chosen" : "tick", x1: x, x2: x, y1: mark ? 0 : 4, y2: mark ? 16 : 12 });
    });
  return svg(
    "svg",
    { class: "strip", viewBox: "-1 0 102 16", preserveAspectRatio: "none", role: "img", "aria-label": words },
    svg("line", { class: "ground", x1: 0, x2: 100, y1: 8, y2: 8 }),
    svg("line", { class: "alarm", x1: ALARM, x2: ALARM, y1: 1, y2: 15 }),
    ticks,
  );
};
