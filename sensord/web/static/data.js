import { api, el, status, time } from "./dom.js";

// What the page shows of data: each check with its last results, and each backfill as a grid of its partitions.
const BARS = "▁▂▃▄▅▆▇█";
const CELLS = { succeeded: "■", failed: "✕", lost: "?", cancelled: "⊘", running: "▶", queued: "○" };
const GRIDS = 3;
const MOST = 400;

// The rows that failed in each of the last results, the newest at the right.
function bars(counts) {
  const most = Math.max(...counts);
  if (counts.length < 2 || !(most > 0)) return null;
  const text = counts.map((count) => BARS[Math.ceil((Math.max(0, count) / most) * (BARS.length - 1))]).join("");
  const words = `rows that failed in the last ${counts.length} results, at most ${most.toLocaleString()}`;
  return el("span", { class: "mono bars", role: "img", "aria-label": words, title: words }, text);
}

export function check(one) {
  const rows = one.failed === null || one.rows === null ? null
    : `${one.failed.toLocaleString()} of ${one.rows.toLocaleString()} rows failed`;
  const again = one.status === "failed" && one.in_a_row > 1 ? `${one.in_a_row} times in a row` : null;
  const about = [rows, again].filter(Boolean).join(", ");
  return el("li", { class: "check" }, el("div", { class: "line" },
    status(one.status === "passed" ? "succeeded" : "failed", { fixed: true, text: one.status }),
    el("div", { class: "grow" },
      el("a", { class: "what", href: `/events/${one.event}` }, one.job, " ", el("span", { class: "mono" }, one.check)),
      about ? el("div", { class: "small quiet" }, about) : null,
      one.status === "failed" && one.detail ? el("div", { class: "small" }, one.detail) : null),
    el("div", { class: "end" }, bars(one.trend), " ", time(one.at))));
}

function cell(one) {
  const word = one.status ?? "not started";
  const known = Object.hasOwn(CELLS, word);
  const text = el("span", { class: `cell ${known ? word : ""}`, title: `${one.partition_key}: ${word}` }, known ? CELLS[word] : "·");
  return one.run ? el("a", { href: `/runs/${one.run}`, "aria-label": `${one.partition_key}: ${word}` }, text) : text;
}

export function backfill({ one, cells, more }) {
  const counts = Object.entries(one.counts).filter(([, count]) => count)
    .map(([word, count]) => `${count.toLocaleString()} ${word.replace("_", " ")}`).join(", ");
  return el("li", { class: "backfill" }, el("div", { class: "line" },
    status(one.status, { fixed: true }),
    el("div", { class: "grow" }, el("span", { class: "what" }, one.job),
      el("div", { class: "small quiet" }, counts),
      el("div", { class: "grid mono" }, cells.map(cell), more ? ` and more: sensord backfills show ${one.id}` : null)),
    el("div", { class: "end" }, time(one.created_at))));
}

export async function looked() {
  const [checks, found] = await Promise.all([api("/api/checks?limit=200"), api(`/api/backfills?limit=${GRIDS}`)]);
  const backfills = await Promise.all(found.items.map(async (one) => {
    const page = await api(`/api/backfills/${one.id}/partitions?limit=${MOST}`);
    return { one, cells: page.items, more: page.next !== null };
  }));
  return { checks: checks.items, backfills };
}
