"use strict";
(() => {
  // Paper cannot be opened: prompts that are closed are opened for it, and closed again.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details.prompt:not([open])")];
    for (const one of opened) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of opened) one.open = false;
  });

  const form = document.getElementById("filter");
  if (!form) return;
  const rows = [...document.querySelectorAll("#rows > tr")].map((row) => ({
    row,
    scores: row.dataset.scores.split(" ").map((one) => (one === "-" ? null : Number(one))),
    failed: row.dataset.failed === "yes",
    text: row.textContent.toLowerCase(),
  }));
  const { words, show, other } = form.elements;
  const shown = document.getElementById("shown");
  const winner = Number(form.dataset.winner);

  // Tells whether the winner scored higher (1), lower (-1) or the same (0) as any of the chosen rungs.
  const compares = (scores, sign) =>
    scores.some(
      (score, place) =>
        place !== winner &&
        score !== null &&
        scores[winner] !== null &&
        (other.value === "" || Number(other.value) === place) &&
        Math.sign(scores[winner] - score) === sign,
    );
  const wanted = {
    all: () => true,
    differ: ({ scores }) => new Set(scores.filter((one) => one !== null)).size > 1,
    better: ({ scores }) => compares(scores, 1),
    worse: ({ scores }) => compares(scores, -1),
    low: ({ scores }) => scores[winner] !== null && scores[winner] < 1,
    failed: ({ failed }) => failed,
  };
  const update = () => {
    const asked = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const one of rows) {
      const fits = wanted[show.value](one) && asked.every((word) => one.text.includes(word));
      one.row.hidden = !fits;
      found += fits;
    }
    other.disabled = show.value !== "better" && show.value !== "worse";
    shown.textContent = `${found} of ${rows.length} rows`;
  };
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  update();
})();
