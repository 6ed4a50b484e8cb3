import { api, duration, el, follow, list, put, section, status, subject, time } from "./dom.js";
import { backfill, check, looked } from "./data.js";
import { message } from "./message.js";

const main = document.getElementById("main");
const places = { state: el("div"), messages: el("div"), runs: el("div"), sensors: el("div"), destinations: el("div"), checks: el("div"), backfills: el("div") };
const more = { messages: { shown: 8, changed: update }, runs: { shown: 15, changed: update }, all: { shown: 200 }, checks: { shown: 12, changed: update } };
const ORDER = ["running", "queued", "succeeded", "failed", "lost", "cancelled"];
let asked = 0;

function state(overview) {
  const counts = { ...overview.today, ...overview.open };
  const tally = ORDER.filter((word) => counts[word])
    .map((word) => status(word, { text: `${counts[word].toLocaleString()} ${word}` }));
  const many = overview.problems.length > 1;
  return el("div", { class: overview.well ? "state" : "state ill", role: "status" },
    el("h1", {}, el("span", { class: "glyph", "aria-hidden": "true" }, overview.well ? "✓" : "▲"), overview.sentence),
    many ? el("ul", {}, overview.problems.map((one) => el("li", {},
      one.link ? el("a", { href: one.link }, one.text) : one.text))) : null,
    tally.length ? el("p", { class: "tally" }, el("span", {}, "Today:"), tally) : null);
}

function run(one) {
  const when = one.ended_at ?? one.started_at ?? one.requested_at;
  return el("li", { class: "run" }, el("div", { class: "line" },
    status(one.status, { fixed: true }),
    el("div", { class: "grow" },
      el("a", { class: "what", href: `/runs/${one.id}` }, one.job), " ", subject(one),
      one.error ? el("div", { class: "small quiet" }, one.error) : null),
    el("div", { class: "end" }, time(when), one.started_at ? [" · ", duration(one.started_at, one.ended_at)] : null)));
}

function sensor(one) {
  const word = one.state === "failed" ? "failed" : one.state;
  const tick = one.last_tick;
  return el("li", {}, el("div", { class: "line" },
    status(word, { fixed: true, text: { active: "watching", failed: "failing", new: "starting" }[word] ?? word }),
    el("div", { class: "grow" }, el("span", { class: "what" }, one.name), el("span", { class: "quiet" }, ` → ${one.jobs.join(", ")}`),
      one.reason ? el("div", { class: "small wrong" }, one.reason) : null,
      tick ? el("div", { class: "small quiet" }, `last: ${tick.outcome} `, el("span", { class: "mono" }, tick.subject),
        tick.reason ? ` (${tick.reason})` : null) : null),
    el("div", { class: "end" }, one.last_look ? ["looked ", time(one.last_look)] : "not looked yet")));
}

function destination(one, waiting) {
  const button = el("button", { class: "plain", type: "button" }, "Send again");
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await api("/api/destinations/resume", {
        method: "POST", body: JSON.stringify({ destination: one.destination }), headers: { "Content-Type": "application/json" },
      });
    } finally {
      await refresh();
    }
  });
  return el("li", {}, el("div", { class: "line" }, status("paused", { fixed: true }),
    el("div", { class: "grow" }, el("span", { class: "what" }, one.destination),
      el("div", { class: "small" }, one.reason), el("div", { class: "small quiet" }, `${waiting ?? "nothing"} waiting · paused `, time(one.since))),
    el("div", { class: "end" }, button)));
}

async function refresh() {
  const mine = ++asked;
  const [overview, inbox, runs, sensors, data] = await Promise.all([
    api("/api/overview"), api("/api/inbox?limit=72"), api("/api/runs?limit=135"), api("/api/sensors?limit=200"), looked(),
  ]);
  if (mine !== asked) return; // A later answer is on its way or there.
  document.title = overview.well ? "✓ sensord" : "▲ sensord";
  put(places.state, state(overview));
  put(places.messages, section("messages", "Messages", null, list(inbox.items, message,
    "No messages yet. The inbox is told what it is subscribed to; for every run: sensord subscribe 'runs.>' inbox:", more.messages)));
  put(places.runs, section("runs", "Runs", null, list(runs.items, run, "No runs yet. They appear here the moment a sensor asks for one.", more.runs)));
  put(places.sensors, section("sensors", "Sensors", null, list(sensors.items, sensor, "The configuration has no sensors.", more.all)));
  // Where there are none, nothing is said of them.
  put(places.checks, data.checks.length ? section("checks", "Checks", "rows that failed, result by result", list(data.checks, check, "", more.checks)) : null);
  put(places.backfills, data.backfills.length ? section("backfills", "Backfills", "a cell for each partition", list(data.backfills, backfill, "", more.all)) : null);
  const paused = overview.destinations;
  put(places.destinations, section("destinations", "Destinations", null, list(paused,
    (one) => destination(one, overview.undelivered[one.destination]), "All of them take messages.", more.all)));
}

function update() {
  return refresh().catch((error) => { document.getElementById("live").textContent = error.message; });
}

main.append(places.state, el("div", { class: "columns" },
  places.messages, el("div", { class: "stack" }, places.runs, places.backfills, places.checks, places.sensors, places.destinations)));
await update();
follow("/api/stream", update);
setInterval(update, 30000); // What is no event: a sensor that stopped looking, a delivery that waits.
