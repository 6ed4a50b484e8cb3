import { api, el, empty, follow, moment, put, section, status } from "./dom.js";

const main = document.getElementById("main");
const id = main.dataset.subject;
const places = { head: el("div"), facts: el("div"), told: el("div") };

function facts(event) {
  const pairs = [
    ["When", moment(event.time)], ["Topic", [event.topic, event.also].filter(Boolean).join(", ")], ["Type", event.type],
    ["Source", event.source], ["About", event.subject], ["Sensor", event.sensor], ["Job", event.job],
    ["Run", event.run ? el("a", { href: `/runs/${event.run}` }, event.run) : null],
    ["Data", Object.keys(event.data ?? {}).length ? el("pre", { tabindex: "0" }, JSON.stringify(event.data, null, 2)) : null],
  ].filter(([, value]) => value);
  return section("facts", "Facts", null, el("dl", { class: "page-facts" },
    pairs.map(([label, value]) => [el("dt", {}, label), el("dd", {}, value)])));
}

function told(deliveries) {
  const rows = deliveries.map((one) => el("li", {}, el("div", { class: "line" }, status(one.status, { fixed: true }),
    el("div", { class: "grow" }, one.destination, one.error ? el("div", { class: "small quiet" }, one.error) : null),
    el("div", { class: "end" }, one.attempts === 1 ? "1 attempt" : `${one.attempts} attempts`))));
  return section("told", "Who was told", null, rows.length ? el("ul", { class: "rows" }, rows) : empty("Nobody is subscribed to its topic."));
}

async function refresh() {
  const [event, deliveries] = await Promise.all([api(`/api/events/${id}`), api(`/api/deliveries?event=${id}&limit=200`)]);
  document.title = event.message || event.type;
  put(places.head, el("h1", {}, event.message || event.type), el("p", {}, status(event.severity)));
  put(places.facts, facts(event));
  put(places.told, told(deliveries.items));
}

const update = () => refresh().catch((error) => {
  if (error.status === 404) put(places.head, el("h1", {}, "There is no such event"), el("p", {}, error.message));
});
main.append(places.head, el("div", { class: "columns" }, places.facts, places.told));
await update();
follow("/api/stream", update, () => false);
setInterval(update, 10000);
