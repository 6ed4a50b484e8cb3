import { el, status, time } from "./dom.js";

// A message as it was sent: title, facts, paragraphs, tables. `one.message` is its structure.
export function message(one) {
  const content = one.message ?? {};
  const link = (content.links ?? []).find((each) => /\/(runs|events)\/[0-9a-f-]{36}$/.test(each.url ?? ""));
  const target = link ? new URL(link.url).pathname : null;
  const title = content.title ?? one.title;
  const parts = [
    content.note ? el("p", { class: "note" }, content.note) : null,
    facts(shortened(content.facts ?? [])),
    (content.body ?? []).map(block),
  ];
  return el("li", { class: "message" },
    el("div", { class: "line" },
      status(one.severity), 
      el("div", { class: "grow what" }, target ? el("a", { href: target }, title) : title),
      el("div", { class: "end" }, time(one.at))),
    el("div", { class: "inside" }, parts));
}

// A key that is the file's name, or part of it, says nothing more.
function shortened(pairs) {
  const file = pairs.find(([label]) => label === "file")?.[1];
  return pairs.filter(([label, value]) => label !== "key" || !file?.endsWith(value));
}

function facts(pairs) {
  if (!pairs.length) return null;
  return el("dl", { class: "facts" }, pairs.map(([label, value]) =>
    el("div", {}, el("dt", {}, label), el("dd", { title: value }, value.replaceAll("\n", "\\n")))));
}

function block(one) {
  if (one.kind === "table" || one.header) {
    return el("div", { class: "scroll" }, el("table", {},
      el("caption", { class: "quiet small" }, one.title ?? ""),
      el("thead", {}, el("tr", {}, one.header.map((cell) => el("th", { scope: "col" }, cell)))),
      el("tbody", {}, one.rows.map((row) => el("tr", {}, row.map((cell) => el("td", {}, cell)))))));
  }
  if (one.kind === "pre") {
    return el("details", { open: (one.text ?? "").length < 400 }, el("summary", { class: "small quiet" }, one.title || "details"),
      el("pre", { tabindex: "0" }, one.text));
  }
  return el("p", {}, one.text ?? "");
}
