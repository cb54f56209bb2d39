"use strict";
(() => {
  const MOST = 200; // rows of a long table on the page at once
  const live = Boolean(document.getElementById("live")); // a page whose policy lets nothing be evaluated
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Charts. Their ink comes from the style sheet, so that light, dark and print need no second drawing.
  const font = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif";
  const config = {
    background: "transparent", font, padding: 2, view: { stroke: null }, text: { font },
    axis: { labelFontSize: 11, titleFontSize: 12, titleFontWeight: "normal", titlePadding: 8 },
    legend: { titleFontWeight: "normal", labelFontSize: 11.5, titleFontSize: 11.5 },
  };

  const drawn = new Map();
  const draw = (place) => {
    if (!drawn.has(place)) drawn.set(place, drawNow(place));
    return drawn.get(place);
  };
  const drawNow = async (place) => {
    try {
      const spec = JSON.parse(document.getElementById(place.dataset.spec).textContent);
      await vegaEmbed(place, spec, { renderer: "svg", actions: false, ast: live, logLevel: 1, config, tooltip: { theme: dark.matches ? "dark" : "light" } });
      // A group of marks without words, an empty one say, is nothing to a screen reader: the chart has its description.
      for (const silent of all('[role="graphics-symbol"]:not([aria-label])', place)) silent.setAttribute("aria-hidden", "true");
    } catch (error) {
      place.textContent = `This chart could not be drawn: ${error.message}`;
    }
  };

  // What is in sight first; the others one by one, so that the page answers meanwhile.
  const drawAll = async () => {
    for (const place of all(".vega")) {
      await draw(place);
      await new Promise((go) => setTimeout(go));
    }
  };

  const sight = new IntersectionObserver((seen) => { for (const one of seen) if (one.isIntersecting) draw(one.target); }, { rootMargin: "400px" });

  // A table's CSV, as it was before it was put into a script element.
  const csv = (id) => document.getElementById(id).textContent.replace(/\\u003C(?=\/script|!--|script)/gi, "<");

  // Downloads.
  const save = (button) => {
    const text = csv(`csv-${button.dataset.csv}`);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = `${button.dataset.csv}.csv`;
    link.click();
    URL.revokeObjectURL(link.href);
  };

  // Tables. Short ones are in the page; a long one is built from its CSV when it is opened.
  const parse = (text) => {
    const rows = [[]];
    for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^,\r\n]*))(,|\r?\n|$)/g)) {
      rows.at(-1).push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
      if (end !== ",") rows.push([]);
    }
    return rows.filter((row) => row.length > 1 || row[0]);
  };

  const number = (text) => (text === "" ? NaN : Number(text.replaceAll(",", "")));

  // A column as in the short tables: three decimals, none where all are whole or one is large, small p and q in powers of ten.
  const shorter = (texts, name) => {
    if (!texts.some((text) => /[.e]/.test(text))) return texts;
    const known = texts.map(number).filter(Number.isFinite);
    const digits = known.every(Number.isInteger) || known.some((value) => Math.abs(value) >= 1000) ? 0 : 3;
    const format = new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    const small = ["p", "q"].includes(name.split(" ")[0]);
    const one = (value) => (small && value !== 0 && Math.abs(value) < 0.0005 ? value.toExponential(1).replace(/e-(?=\d$)/, "e-0") : format.format(value));
    return texts.map((text) => (Number.isNaN(number(text)) ? text : one(number(text))));
  };

  // the file marks what a spreadsheet would work out with '
  const unquoted = (text) => text.replace(/^'(?=[\s\0']*[=+\-@＝＋－＠]|[\t\r\n])/, "");

  const build = (table) => {
    const [names, ...rows] = parse(csv(table.dataset.from)).map((cells) => cells.map(unquoted));
    const numeric = [...table.tHead.rows[0].cells].map((cell) => cell.classList.contains("number"));
    const columns = JSON.parse(table.dataset.columns).map((name, at) => {
      const place = names.indexOf(name);
      const texts = rows.map((row) => row[place]);
      return numeric[at] ? shorter(texts, name) : texts;
    });
    table.rowsOf = rows.map((_, row) => {
      const line = document.createElement("tr");
      columns.forEach((texts, at) => {
        const cell = document.createElement(at ? "td" : "th");
        if (!at) cell.scope = "row";
        if (numeric[at]) cell.className = "number";
        cell.textContent = texts[row];
        line.append(cell);
      });
      return line;
    });
  };

  const rowsOf = (table) => {
    if (!table.rowsOf) table.dataset.from ? build(table) : (table.rowsOf = [...table.tBodies[0].rows]);
    return table.rowsOf;
  };

  const show = (table) => {
    const tools = table.closest("details").querySelector(".tools");
    const words = (tools.querySelector("input")?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    const rows = rowsOf(table);
    const kept = rows.filter((row) => { const text = row.textContent.toLowerCase(); return words.every((word) => text.includes(word)); });
    const first = table.dataset.from ? kept.slice(0, MOST) : kept;
    table.tBodies[0].replaceChildren(...first);
    const said = tools.querySelector("output");
    if (!said) return;
    const cut = first.length < kept.length ? ` of the ${kept.length.toLocaleString("en")} that match` : "";
    said.textContent = first.length < rows.length ? `${first.length.toLocaleString("en")}${cut || ` of ${rows.length.toLocaleString("en")}`} rows shown` : "";
  };

  const sort = (heading) => {
    const table = heading.closest("table");
    const down = heading.getAttribute("aria-sort") !== "descending";
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keyed = rowsOf(table).map((row) => {
      const text = row.cells[heading.cellIndex].textContent.trim();
      return [text === "" ? null : Number.isNaN(number(text)) ? text.toLowerCase() : number(text), row];
    });
    const order = ([x], [y]) => {
      if (x === null || y === null) return (x === null) - (y === null);
      return (x > y ? 1 : x < y ? -1 : 0) * (down ? -1 : 1);
    };
    table.rowsOf = keyed.sort(order).map(([, row]) => row);
    show(table);
  };

  dark.addEventListener("change", () => { drawn.clear(); drawAll(); });
  const adopt = (root) => {
    for (const button of all(".csv", root)) button.addEventListener("click", () => save(button));
    for (const button of all("thead button", root)) button.addEventListener("click", () => sort(button.closest("th")));
    for (const label of all(".filter", root)) {
      const table = label.closest("details").querySelector("table");
      label.hidden = false;
      label.querySelector("input").addEventListener("input", () => show(table));
    }
    for (const table of all("table[data-from]", root)) {
      const details = table.closest("details");
      if (details.open) show(table);
      else details.addEventListener("toggle", () => show(table), { once: true });
    }
    for (const place of all(".vega", root)) sight.observe(place);
  };
  adopt(document);
  window.outfieldPage = { adopt };
  addEventListener("load", () => drawAll().then(() => document.documentElement.setAttribute("data-drawn", "yes")));
})();
