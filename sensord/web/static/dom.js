// What the pages share. Everything that came from outside becomes a text node: no name, log or message is markup.

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value);
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === "") continue;
    node.append(child instanceof Node ? child : document.createTextNode(visible(String(child))));
  }
  return node;
}

// Control characters and those that turn the direction of a line are shown, not obeyed.
export function visible(text) {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (c) => {
    const code = c.codePointAt(0);
    if (c === "\r") return "\u240d";
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    return `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

export async function api(path, options = {}) {
  const answer = await fetch(path, { headers: { Accept: "application/json" }, ...options });
  if (answer.status === 401) {
    location.reload(); // The page itself then asks for the token.
    throw new Error("signed out");
  }
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.error || `error ${answer.status}`), { status: answer.status });
  return body;
}

export const send = (path) => api(path, { method: "POST" });

const GLYPHS = {
  succeeded: "✓", failed: "✕", lost: "?", cancelled: "⊘", running: "▶", queued: "○", retrying: "↻",
  info: "●", debug: "·", warning: "▲", error: "✕", critical: "‼",
  active: "✓", paused: "‖", new: "○", moved: "→",
  delivered: "✓", pending: "○", sending: "▶", dead: "✕", uncertain: "?", suppressed: "–", held: "Ⅱ",
};

export function status(word, { fixed = false, text = word } = {}) {
  const name = Object.hasOwn(GLYPHS, word) ? word : "";
  return el("span", { class: `status ${name} ${fixed ? "fixed" : ""}` },
    el("span", { class: "glyph", "aria-hidden": "true" }, GLYPHS[word] ?? "•"), " ", text);
}

const STEPS = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [Infinity, 86400, "d"]];

function rough(seconds) {
  const [, unit, word] = STEPS.find(([limit]) => seconds < limit);
  return `${Math.floor(seconds / unit)} ${word}`;
}

function since(moment) {
  const seconds = (Date.now() - moment) / 1000;
  if (Math.abs(seconds) < 5) return "just now";
  return seconds < 0 ? `in ${rough(-seconds)}` : `${rough(seconds)} ago`;
}

export function time(text) {
  if (!text) return null;
  const moment = new Date(text);
  const exact = moment.toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
  return el("time", { datetime: text, title: exact }, since(moment));
}

// The exact time and the relative one, where there is room: a phone has nothing to hover with.
export function moment(text) {
  if (!text) return null;
  const exact = new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  return [exact, el("span", { class: "quiet" }, " · ", time(text))];
}

export function duration(from, until) {
  if (!from) return null;
  const seconds = ((until ? new Date(until) : new Date()) - new Date(from)) / 1000;
  const exact = `${seconds.toFixed(3)} s`;
  let words = rough(Math.max(0, seconds));
  if (seconds < 10) words = seconds < 1 ? `${Math.max(1, Math.round(seconds * 1000))} ms` : `${seconds.toFixed(1)} s`;
  else if (seconds >= 60 && seconds < 3600) words = `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  else if (seconds >= 3600) words = `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return el("span", { title: exact, class: "duration", "data-from": until ? null : from }, words);
}

// Times that are relative move on by themselves.
setInterval(() => {
  for (const node of document.querySelectorAll("time[datetime]")) node.textContent = since(new Date(node.dateTime));
  for (const node of document.querySelectorAll("[data-from]")) {
    node.textContent = duration(node.dataset.from, null).textContent;
  }
}, 5000);

export function section(id, title, note, content) {
  return el("section", { id, "aria-labelledby": `${id}-title` },
    el("div", { class: "head" }, el("h2", { id: `${id}-title` }, title), note ? el("p", { class: "quiet" }, note) : null),
    content);
}

export function empty(text) {
  return el("p", { class: "empty" }, text);
}

// Replace what an element holds, unless the reader has opened, selected or focused something in it just now.
export function put(parent, ...children) {
  const chosen = document.getSelection();
  if (chosen && !chosen.isCollapsed && parent.contains(chosen.anchorNode)) return;
  const focus = parent.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const opened = new Set([...parent.querySelectorAll("details[open][data-id]")].map((node) => node.dataset.id));
  parent.replaceChildren(...children.flat(Infinity).filter(Boolean));
  for (const node of parent.querySelectorAll("details[data-id]")) node.open ||= opened.has(node.dataset.id);
  if (focus) [...parent.querySelectorAll("a")].find((node) => node.getAttribute("href") === focus)?.focus();
}

export function subject(run) {
  const text = run.subject ?? run.run_key ?? run.partition_key;
  if (!text) return "";
  const parts = text.split("/");
  return el("span", { class: "file mono", title: visible(text) }, (parts[parts.length - 1] || text).replaceAll("\n", "\\n"));
}

// A list of which the newest are shown, and more when asked for.
export function list(items, draw, none, more) {
  if (!items.length) return empty(none);
  const drawn = el("ul", { class: "rows" }, items.slice(0, more.shown).map(draw));
  if (items.length <= more.shown) return drawn;
  const button = el("button", { class: "plain", type: "button" }, "Show more");
  button.addEventListener("click", () => { more.shown *= 3; more.changed(); });
  return [drawn, el("p", { class: "more" }, button)];
}

// Call `changed` when something happened, at most so often; say whether the stream is alive.
export function follow(path, changed, interested = () => true) {
  const live = document.getElementById("live");
  let due = 0;
  const soon = () => {
    if (!due) due = setTimeout(() => { due = 0; changed(); }, 300);
  };
  const source = new EventSource(path);
  source.onopen = () => { live.textContent = "live"; soon(); };
  source.onerror = () => { live.textContent = "connection lost, trying again …"; };
  source.onmessage = (event) => { if (interested(JSON.parse(event.data))) soon(); };
}
