"use strict";
// Sorting, copying and opening folds: without a script the page reads all the same.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const heads = [...table.querySelectorAll("thead th[data-col]")];
  const value = (row, col) => {
    const cell = [...row.cells].find((c) => c.dataset.col === col);
    return cell && cell.dataset.v !== undefined ? cell.dataset.v : null;
  };
  table.closest(".part, section").querySelector(".files").prepend("Click a heading to sort. ");
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
// A link into a closed fold opens it, and those around it.
const reveal = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  let closed = false;
  for (let fold = target && target.closest("details"); fold; fold = fold.parentElement.closest("details")) {
    closed = closed || !fold.open;
    fold.open = true;
  }
  if (closed) target.scrollIntoView();
};
addEventListener("hashchange", reveal);
reveal();
// What is shortened can be copied whole, where the browser lets a page do so.
for (const code of navigator.clipboard ? document.querySelectorAll(".copy") : []) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "take";
  button.textContent = "copy";
  button.setAttribute("aria-label", `Copy ${code.dataset.copy.slice(0, 10)}`);
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.dataset.copy);
    button.textContent = "copied";
    button.setAttribute("aria-label", `Copied ${code.dataset.copy.slice(0, 10)}`);
  });
  (code.closest("a") || code).after(button);
}
