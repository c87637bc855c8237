"use strict";
(() => {
  const { figures, templates } = JSON.parse(document.getElementById("report-data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const template = () => (dark.matches ? templates.dark : templates.light);
  const config = { responsive: true, displaylogo: false, displayModeBar: false };

  const draw = () => {
    for (const [id, figure] of Object.entries(figures)) {
      Plotly.react(id, figure.data, { ...figure.layout, template: template() }, config);
    }
  };
  draw();
  dark.addEventListener("change", draw);

  const keyOf = (row, index) => {
    const cell = row.cells[index];
    const key = cell.dataset.key;
    if (key === undefined) return cell.textContent;
    return Number(key);
  };
  const isNumber = (key) => typeof key === "number" && !Number.isNaN(key);
  // What is not known comes last, whichever way round the rest is.
  const compare = (a, b, sign) => {
    if (isNumber(a) && isNumber(b)) return sign * (a - b);
    if (isNumber(a) !== isNumber(b)) return isNumber(a) ? -1 : 1;
    return sign * String(a).localeCompare(String(b));
  };
  const sort = (table, index) => {
    const head = table.tHead.rows[0].cells[index];
    const descending = head.getAttribute("aria-sort") === "ascending";
    for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const sign = descending ? -1 : 1;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => compare(keyOf(a, index), keyOf(b, index), sign));
    table.tBodies[0].append(...rows);
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    table.querySelectorAll("th button").forEach((button, index) => {
      button.addEventListener("click", () => sort(table, index));
    });
  }
})();
