import { api, duration, el, empty, follow, moment, put, section, send, status, subject, time, visible } from "./dom.js";

const main = document.getElementById("main");
const id = main.dataset.subject;
const places = { head: el("div"), facts: el("div"), story: el("div"), log: el("div") };
const ENDED = ["succeeded", "failed", "cancelled", "lost"];
const STATES = { queued: "is waiting", running: "is running", succeeded: "succeeded", failed: "failed", cancelled: "was cancelled", lost: "is lost: nobody knows how it ended" };
const MOST = 2_000_000; // Characters of output that the page keeps.
let followed = 0;

function act(label, path, kind, done) {
  const button = el("button", { type: "button", class: kind }, label);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      done(await send(path));
    } catch (error) {
      button.replaceWith(el("span", { class: "wrong", role: "alert" }, error.message));
    }
  });
  return button;
}

function head(run) {
  const over = ENDED.includes(run.status);
  return [
    el("h1", {}, run.job, " ", STATES[run.status] ?? run.status),
    el("p", {}, status(run.status), " ", subject(run), run.started_at ? [" · ", duration(run.started_at, run.ended_at)] : null),
    run.error ? el("p", { class: "wrong" }, run.error) : null,
    el("div", { class: "actions" },
      over ? act("Run again", `/api/runs/${id}/retry`, "", (made) => location.assign(`/runs/${made.id}`))
        : act(run.cancel_requested ? "Being cancelled …" : "Cancel", `/api/runs/${id}/cancel`, "danger", update)),
  ];
}

function facts(run) {
  const again = run.tags["sensord/retry_of"];
  const pairs = [
    ["File", run.subject], ["Sensor", run.sensor], ["Key", run.run_key], ["Partition", run.partition_key],
    ["Requested", moment(run.requested_at)], ["Started", moment(run.started_at)], ["Ended", moment(run.ended_at)],
    ["Attempt", run.attempt > 1 || run.next_attempt_at ? run.attempt : null], ["Next attempt", moment(run.next_attempt_at)],
    ["Repeats", again ? el("a", { href: `/runs/${again}` }, again) : null],
    ...Object.entries(run.metadata ?? {}).map(([key, value]) => [key, typeof value === "object" ? JSON.stringify(value) : value]),
    ["Tags", Object.entries(run.tags).filter(([key]) => key !== "sensord/retry_of").map(([key, value]) => `${key}=${value}`).join(", ")],
    ["Configuration", Object.keys(run.run_config ?? {}).length ? el("pre", {}, JSON.stringify(run.run_config, null, 2)) : null],
    ["Run", el("span", { class: "mono" }, run.id)],
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
  return section("facts", "Facts", null, el("dl", { class: "page-facts" },
    pairs.map(([label, value]) => [el("dt", {}, label), el("dd", {}, value)])));
}

// Lines as `sensord explain` tells them; one about a delivery stands behind its event.
function story(told) {
  return section("story", "What happened", null, [
    told.verdict ? el("p", { class: "verdict" }, sentence(told.verdict)) : null,
    told.story.length ? el("ol", { class: "rows story" }, told.story.map(line)) : empty("Its events are older than what is kept."),
  ]);
}

function line(one) {
  const behind = one.text.startsWith("  ");
  const [, word, reason] = /^\s*(told nobody): (.*)$/s.exec(one.text) ?? [];
  let text = sentence(one.text.trim());
  if (word) text = el("details", { "data-id": `${one.ref.event}` }, el("summary", {}, "Told nobody"), reason);
  else if (one.ref.event && !behind) text = el("a", { href: `/events/${one.ref.event}` }, text);
  return el("li", { class: behind ? "behind" : "" }, el("div", { class: "line" },
    el("div", { class: "grow" }, text), el("div", { class: "end" }, word ? null : time(one.at))));
}

function sentence(text) {
  const words = text.replaceAll(`: run ${id}`, ": this run").replaceAll(`run ${id}`, "this run");
  return /^[a-z]+ /.test(words) ? words.charAt(0).toUpperCase() + words.slice(1) : words;
}

async function log(attempt) {
  if (followed === attempt) return;
  followed = attempt;
  const note = el("p", { class: "quiet" });
  const text = el("pre", { class: "log", tabindex: "0", "aria-label": "Output" });
  put(places.log, el("section", { id: "log", "aria-labelledby": "log-title" },
    el("div", { class: "head" }, el("h2", { id: "log-title" }, attempt > 1 ? `Output of attempt ${attempt}` : "Output"), note), text));
  const answer = await fetch(`/api/runs/${id}/log?follow=1&attempt=${attempt}&tail=500000`);
  if (!answer.ok) {
    text.textContent = (await answer.json()).error;
    return;
  }
  note.textContent = "live";
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let kept = 0; ;) {
    const { value, done } = await reader.read();
    if (done || followed !== attempt) break;
    const end = text.scrollTop + text.clientHeight >= text.scrollHeight - 30;
    text.append(document.createTextNode(visible(value.replace(/\u001b\[[0-9;]*[A-Za-z]/g, "").replaceAll("\r\n", "\n"))));
    kept += value.length;
    while (kept > MOST && text.childNodes.length > 1) {
      kept -= text.firstChild.length;
      text.firstChild.remove();
    }
    if (end) text.scrollTop = text.scrollHeight;
  }
  note.textContent = "";
  if (!text.textContent) text.textContent = "It wrote nothing.";
}

async function refresh() {
  const [run, told] = await Promise.all([api(`/api/runs/${id}`), api(`/api/explain?what=${id}`)]);
  document.title = `${run.job} ${run.status}`;
  put(places.head, head(run));
  put(places.facts, facts(run));
  put(places.story, story(told));
  log(run.attempt).catch(() => { followed = 0; });
}

const update = () => refresh().catch((error) => {
  if (error.status === 404) put(places.head, el("h1", {}, "There is no such run"), el("p", {}, error.message));
});
main.append(places.head, el("div", { class: "columns" }, el("div", { class: "stack" }, places.facts, places.story), places.log));
await update();
follow("/api/stream", update, (event) => event.run === id);
