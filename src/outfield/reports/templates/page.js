"use strict";
(() => {
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const font = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif";

  const theme = () => ({
    background: "transparent", font, padding: 2,
    view: { stroke: null },
    axis: {
      labelColor: css("--soft"), titleColor: css("--ink"), domainColor: css("--line"), tickColor: css("--line"),
      gridColor: css("--grid"), labelFontSize: 11, titleFontSize: 12, titleFontWeight: "normal", titlePadding: 8,
    },
    legend: { labelColor: css("--soft"), titleColor: css("--soft"), titleFontWeight: "normal", labelFontSize: 11.5, titleFontSize: 11.5 },
    text: { font },
  });

  const draw = async (place) => {
    const spec = JSON.parse(document.getElementById(place.dataset.spec).textContent);
    try {
      await vegaEmbed(place, spec, { renderer: "svg", actions: false, config: theme(), tooltip: { theme: dark.matches ? "dark" : "light" } });
    } catch (error) {
      place.textContent = `This chart could not be drawn: ${error.message}`;
    }
  };

  const drawAll = async () => { for (const place of document.querySelectorAll(".vega")) await draw(place); };

  const save = (button) => {
    const text = document.getElementById(`csv-${button.dataset.csv}`).textContent;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = `${button.dataset.csv}.csv`;
    link.click();
    URL.revokeObjectURL(link.href);
  };

  const value = (row, column) => {
    const text = row.cells[column].textContent.trim();
    const number = Number(text.replaceAll(",", ""));
    return text === "" ? null : Number.isNaN(number) ? text.toLowerCase() : number;
  };

  const sort = (heading) => {
    const body = heading.closest("table").tBodies[0];
    const down = heading.getAttribute("aria-sort") !== "descending";
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const column = heading.cellIndex;
    const order = (a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      if (x === null || y === null) return (x === null) - (y === null);
      return (x > y ? 1 : x < y ? -1 : 0) * (down ? -1 : 1);
    };
    body.append(...[...body.rows].sort(order));
  };

  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", drawAll);
  for (const button of document.querySelectorAll(".csv")) button.addEventListener("click", () => save(button));
  for (const button of document.querySelectorAll("thead button")) button.addEventListener("click", () => sort(button.closest("th")));
  drawAll().then(() => document.documentElement.setAttribute("data-drawn", "yes"));
})();
