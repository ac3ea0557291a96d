"use strict";
// Sorting is all the page needs a script for; without one the paper's order stands.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const heads = [...table.querySelectorAll("thead th[data-col]")];
  const value = (row, col) => {
    const cell = [...row.cells].find((c) => c.dataset.col === col);
    return cell && cell.dataset.v !== undefined ? cell.dataset.v : null;
  };
  table.closest(".part").querySelector(".files").prepend("Click a heading to sort. ");
  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { none: "descending", descending: "ascending", ascending: "none" };
      const order = next[head.getAttribute("aria-sort") || "none"];
      for (const other of heads) other.removeAttribute("aria-sort");
      table.classList.toggle("sorted", order !== "none");
      let rows = original;
      if (order !== "none") {
        head.setAttribute("aria-sort", order);
        const sign = order === "ascending" ? 1 : -1;
        const col = head.dataset.col;
        const compare = (a, b) => {
          const [x, y] = [value(a, col), value(b, col)];
          if (x === null || y === null) return (x === null) - (y === null);
          return sign * (head.dataset.kind === "text" ? x.localeCompare(y) : x - y);
        };
        rows = [...original].sort(compare);
      }
      body.append(...rows);
    });
  }
}
// A link into a closed list opens it.
const reveal = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const fold = target && target.closest("details");
  if (fold && !fold.open) {
    fold.open = true;
    target.scrollIntoView();
  }
};
addEventListener("hashchange", reveal);
reveal();
// Paper has no folds.
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const fold of closed) fold.open = true;
});
addEventListener("afterprint", () => {
  for (const fold of closed) fold.open = false;
});
