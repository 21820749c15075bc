"use strict";
// The desk: moves through the queue, holds what the operator decided, and writes it down for the pipeline.
// All text reaches the page as text nodes; nothing here parses markup.
document.documentElement.classList.add("scripted");
const desk = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const CRITICAL = 2;

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}
const fill = (node, ...children) => node.replaceChildren(...children.flat().filter(Boolean));
const many = (n, one, more) => `${n.toLocaleString("en")} ${n === 1 ? one : more}`;

// --- What was decided. Kept for this tab, so that a reload loses nothing; the page is useless to anybody else. ---

const KEPT = `spendsense ${desk.as_of} ${desk.generated_at}`;
const byId = new Map(desk.items.map((item) => [item.id, item]));
const decided = new Map();
try {
  for (const [id, decision] of JSON.parse(sessionStorage.getItem(KEPT) || "[]")) if (byId.has(id)) decided.set(id, decision);
} catch { /* a browser that keeps nothing: the decisions live as long as the page */ }
let copied = true;

function decide(ids, decision) {
  for (const id of ids) {
    if (decision) decided.set(id, decision);
    else decided.delete(id);
  }
  copied = decided.size === 0;
  try { sessionStorage.setItem(KEPT, JSON.stringify([...decided])); } catch { /* as above */ }
  handIn();
}
addEventListener("beforeunload", (event) => { if (!copied) event.preventDefault(); });

// --- Writing it down ---

// JSON's strings are YAML's, but for a few characters that YAML takes for line breaks or refuses.
const quoted = (text) =>
  JSON.stringify(text).replace(/[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const named = (id) => `${id}@${byId.get(id).hash}`;
const taken = (action) => [...decided].filter(([, decision]) => decision.action === action);

function config() {
  const lines = ["ops:", `  ${desk.review_op}:`, "    config:", `      operator: ${quoted($("operator").value.trim())}`];
  const note = $("note").value.trim();
  const approved = taken("approve");
  if (approved.length) lines.push("      approve:", ...approved.map(([id]) => `        - ${quoted(named(id))}`));
  for (const action of ["reject", "override"]) {
    const rows = taken(action).map(([id, { action: _, ...said }]) =>
      `        - {${Object.entries({ recommendation: named(id), ...said }).map(([name, value]) => `${name}: ${quoted(value)}`).join(", ")}}`);
    if (rows.length) lines.push(`      ${action}:`, ...rows);
  }
  if (note && approved.length) lines.push(`      note: ${quoted(note)}`);
  return lines.join("\n") + "\n";
}

function commands() {
  const operator = `--operator ${shell($("operator").value.trim())}`;
  const note = $("note").value.trim();
  const lines = [];
  const approved = taken("approve").map(([id]) => named(id));
  // A command line has a length; a hundred names are some nine thousand characters.
  for (let start = 0; start < approved.length; start += 100)
    lines.push(`spendsense approve ${approved.slice(start, start + 100).join(" ")} ${operator}${note ? ` --note ${shell(note)}` : ""}`);
  for (const [id, { reason }] of taken("reject")) lines.push(`spendsense reject ${named(id)} ${operator} --reason ${shell(reason)}`);
  for (const [id, { reason, title, content }] of taken("override"))
    lines.push(`spendsense override ${named(id)} ${operator} --reason ${shell(reason)}` +
      (title === undefined ? "" : ` --title ${shell(title)}`) + (content === undefined ? "" : ` --content ${shell(content)}`));
  return lines.map((line) => line + "\n").join("");
}

function summary() {
  const parts = [["approve", "approved"], ["reject", "rejected"], ["override", "overridden"]]
    .map(([action, word]) => [taken(action).length, word]).filter(([n]) => n).map(([n, word]) => `${n} ${word}`);
  return parts.length ? `${parts.join(", ")}; ${desk.items.length - decided.size} left` : "Nothing decided yet.";
}

function handIn() {
  if (!$("tally")) return;
  const any = decided.size > 0;
  $("tally").textContent = summary();
  $("bar-tally").textContent = summary();
  $("bar").hidden = !any;
  document.body.classList.toggle("deciding", any);
  $("config").value = any ? config() : "";
  $("commands").value = any ? commands() : "";
  for (const id of ["copy-config", "copy-commands", "start-over"]) $(id).disabled = !any;
  $("copied").textContent = "";
}

async function copy(area, what) {
  if (!decided.size) return say("Nothing is decided yet.");
  if (!$("operator").value.trim()) {
    $("copied").textContent = "Say who you are first: the operator id is part of what is copied.";
    $("operator").focus();
    return;
  }
  handIn();
  try {
    await navigator.clipboard.writeText(area.value);
  } catch { // a file opened from disk may not use the clipboard: select, and let the browser copy
    area.closest("details").open = true;
    area.select();
    if (!document.execCommand("copy")) return say("Copying is not allowed here; the text is selected, copy it yourself.");
  }
  copied = true;
  $("copied").textContent = `${what} copied.`;
  say(`${what} copied.`);
}

// --- The list ---

let view = "queue", mode = "item", at = 0, rows = [], writing = null;
const groups = new Map();
for (const item of desk.items) {
  item.wording = `${item.template} ${item.version}`;
  if (!groups.has(item.wording)) groups.set(item.wording, []);
  groups.get(item.wording).push(item);
  item.words = [item.id, item.user, item.persona, item.type, item.title, item.content, item.template].join(" ").toLowerCase();
}
const kept = {
  open: (item) => !decided.has(item.id),
  all: () => true,
  findings: (item) => item.severity > 0,
  new: (item) => !item.approved,
  near: (item) => item.near,
  decided: (item) => decided.has(item.id),
};
const say = (text) => { $("said").textContent = text; };
const clean = (items) => items.filter((item) => !item.severity && !decided.has(item.id));

function list(stay) {
  const sought = $("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = kept[$("only").value];
  const chosen = desk.items.filter((item) => (item.id === stay || fits(item)) && sought.every((word) => item.words.includes(word)));
  rows = mode === "item" ? chosen.map((item) => ({ key: item.id, items: [item] }))
    : [...new Set(chosen.map((item) => item.wording))].map((key) => ({ key, items: groups.get(key) }));
  at = Math.max(0, Math.min(at, rows.length - 1));
  $("shown").textContent = `${many(chosen.length, "text", "texts")}${mode === "item" ? "" : ` in ${many(rows.length, "template", "templates")}`}`;
  fill($("list"), rows.map(({ items }, n) => make("li", {}, make("button", { type: "button", tabindex: n === at ? 0 : -1, "aria-current": n === at ? "true" : null, onclick: () => go(n) }, label(items)))));
  read();
}

function tags(items) {
  const worst = Math.max(...items.map((item) => item.severity));
  const found = items.filter((item) => item.severity).length;
  const done = items.filter((item) => decided.has(item.id));
  return [
    worst > 0 && make("span", { class: `tag ${worst === CRITICAL ? "critical" : "notable"}` }, `${items.length > 1 ? `${found} ` : ""}${worst === CRITICAL ? "critical" : "notable"}`),
    items.some((item) => item.near) && make("span", { class: "tag near" }, "expires soon"),
    !items[0].approved && make("span", { class: "tag" }, "new wording"),
    items.length === 1 && done.length === 1 && make("span", { class: `tag ${decided.get(items[0].id).action}` }, PAST[decided.get(items[0].id).action]),
    items.length > 1 && done.length > 0 && make("span", { class: "tag some" }, `${done.length} decided`),
  ].filter(Boolean);
}
const PAST = { approve: "approved", reject: "rejected", override: "overridden" };

function label(items) {
  const [first] = items;
  return mode === "item"
    ? [make("b", {}, first.title), make("span", { class: "meta" }, `${first.user} · ${first.persona} · ${first.age}`), ...tags(items)]
    : [make("b", {}, `${items.length} × ${first.title}`), make("span", { class: "meta" }, `${first.template} · ${first.type}`), ...tags(items)];
}

function go(n, focus = false) {
  if (!rows.length) return;
  const buttons = $("list").querySelectorAll("button");
  buttons[at]?.removeAttribute("aria-current");
  buttons[at]?.setAttribute("tabindex", "-1");
  at = Math.max(0, Math.min(n, rows.length - 1));
  buttons[at].setAttribute("aria-current", "true");
  buttons[at].setAttribute("tabindex", "0");
  const box = $("list"), top = buttons[at].offsetTop - box.offsetTop;
  if (top < box.scrollTop || top + buttons[at].offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = top - box.clientHeight / 3;
  if (focus) buttons[at].focus({ preventScroll: true });
  writing = null;
  read();
  const [item] = rows[at].items;
  say(`${at + 1} of ${rows.length}: ${item.title}${item.severity ? `, ${item.severity === CRITICAL ? "critical" : "notable"} finding` : ""}`);
}

// After a decision the row stays where it is, marked, until the list is made anew; the next undecided one is shown.
function onward() {
  const buttons = $("list").querySelectorAll("button");
  fill(buttons[at], label(rows[at].items));
  const left = (row) => row.items.some((item) => !decided.has(item.id) && (mode === "item" || !item.severity));
  const next = rows.findIndex((row, n) => n > at && left(row));
  const inList = document.activeElement?.closest("#list");
  if (next >= 0) go(next, Boolean(inList));
  else { writing = null; read(); say(`Done with this list. ${summary()}`); }
}

// --- The reader ---

function marked(text, slots) {
  const shown = [...new Map(slots.filter((slot) => slot.shown).map((slot) => [slot.shown, slot])).values()].sort((a, b) => b.shown.length - a.shown.length);
  if (!shown.length) return [text];
  const pattern = new RegExp(shown.map((slot) => slot.shown.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|"), "g");
  const parts = [];
  let from = 0;
  for (const match of text.matchAll(pattern)) {
    parts.push(text.slice(from, match.index), make("mark", { title: shown.find((slot) => slot.shown === match[0])?.name }, match[0]));
    from = match.index + match[0].length;
  }
  return [...parts, text.slice(from)];
}

function table(head, body, numeric = []) {
  const cell = (tag, value, n, extra = {}) => make(tag, { class: numeric.includes(n) ? "n" : null, ...extra }, value);
  return make("div", { class: "scroll" }, make("table", {},
    make("thead", {}, make("tr", {}, head.map((name, n) => cell("th", name, n, { scope: "col" })))),
    make("tbody", {}, body.map((row) => make("tr", {}, row.map((value, n) => n ? cell("td", value, n) : cell("th", value, n, { scope: "row" })))))));
}

function read() {
  if (!rows.length) {
    fill($("reader"), make("div", { class: "body" }, make("p", {}, decided.size === desk.items.length ? "Everything is decided. Copy the config below and launch it." : "Nothing here; choose another filter or search.")));
    return;
  }
  const { items } = rows[at];
  fill($("reader"), mode === "item" ? item(items[0]) : template(items));
}

function item(one) {
  const decision = decided.get(one.id);
  const person = make("a", { href: `#customers/${encodeURIComponent(one.user)}` }, one.user);
  return [
    make("div", { class: "head" }, tags([one]), make("h3", {}, one.title),
      make("p", { class: "quiet" }, `${one.type} for `, person, `, ${one.persona}. Waiting ${one.age}, expires ${one.expires} UTC. ` +
        (one.approved ? "These words were approved before, with other figures." : "These words were never approved before.") +
        (one.author ? ` Written by ${one.author} in the place of the pipeline’s text.` : "")),
      one.findings.map(([severity, check, message]) => make("p", { class: `found ${severity}` }, make("b", {}, `${severity}: ${check}`), `. ${message}`))),
    writing && form([one]),
    make("div", { class: "body pair" },
      make("div", {}, make("h4", {}, "Text"), make("div", { class: "text" }, marked(one.content, one.slots)),
        one.original && [make("h4", {}, "Changed from the pipeline’s text"), diff(`${one.original.title}\n\n${one.original.content}`, `${one.title}\n\n${one.content}`)]),
      make("div", {}, make("h4", {}, "Why this customer"), make("p", { class: "text" }, marked(one.rationale, one.slots)),
        one.reasons.length ? make("ul", {}, one.reasons.map((reason) => make("li", {}, reason))) : make("p", { class: "quiet" }, "No criterion was met; the customer has no persona of their own."),
        make("h4", {}, `Figures of ${one.as_of}`),
        one.slots.length ? table(["As shown", "From"], one.slots.map((slot) => [slot.shown, [slot.signal, ": ", make("span", { class: "quiet" }, slot.value)]])) : make("p", {}, "It shows no figure."),
        make("p", { class: "quiet" }, make("code", {}, one.wording), make("br"), make("code", {}, `${one.id}@${one.hash.slice(0, 12)}`)))),
    make("div", { class: "decide" },
      button("Approve", "a", approve, { disabled: one.severity === CRITICAL, title: one.severity === CRITICAL ? "A critical finding stands in the way" : null, pressed: decision?.action === "approve" }),
      button("Reject…", "r", () => write("reject"), { pressed: decision?.action === "reject" }),
      button("Override…", "o", () => write("override"), { pressed: decision?.action === "override" }),
      button("Next", "j", () => go(at + 1)),
      make("span", { class: "what quiet" }, decision ? [`${PAST[decision.action]}${decision.reason ? `: ${decision.reason}` : ""} `, button("Take back", "u", undo)] : `${at + 1} of ${rows.length}`)),
  ];
}

function template(items) {
  const [one] = items;
  const free = clean(items);
  const figures = desk.templates[one.wording];
  const open = (id) => make("a", { href: `#queue/${encodeURIComponent(id)}` }, byId.get(id).user);
  return [
    make("div", { class: "head" }, tags(items), make("h3", {}, one.title),
      make("p", { class: "quiet" }, make("code", {}, one.wording), `. ${many(items.length, "text waits", "texts wait")}, ${items.filter((each) => each.severity).length} with findings. ` +
        (one.approved ? "These words were approved before, with other figures." : "These words were never approved before."))),
    writing && form(items.filter((each) => !decided.has(each.id))),
    make("div", { class: "body pair" },
      make("div", {}, make("h4", {}, "As one customer gets it"), make("div", { class: "text" }, marked(one.content, one.slots))),
      make("div", {}, make("h4", {}, "Its figures, lowest and highest"),
        figures.length ? table(["Figure", "Lowest", "Highest"], figures.map(({ name, low, high }) => [name, [low[0], make("br"), open(low[1])], [high[0], make("br"), open(high[1])]])) : make("p", {}, "It shows no figure that has an order."))),
    make("div", { class: "body" }, make("h4", {}, "Who gets it"),
      make("ul", { class: "items" }, items.map((each) => make("li", {}, make("button", { type: "button", onclick: () => show(each.id) }, each.user), " ", tags([each]).filter((tag) => tag.textContent !== "new wording"))))),
    make("div", { class: "decide" },
      button(`Approve ${free.length} without findings`, "a", approve, { disabled: !free.length }),
      button("Reject all undecided…", "r", () => write("reject"), { disabled: items.every((each) => decided.has(each.id)) }),
      button("Next", "j", () => go(at + 1)),
      make("span", { class: "what quiet" }, items.some((each) => decided.has(each.id)) ? button("Take all back", "u", undo) : `${at + 1} of ${rows.length}`)),
  ];
}

function show(id) {
  if (!byId.has(id)) return;
  setMode("item", false);
  $("only").value = "all";
  $("find").value = "";
  list();
  go(rows.findIndex((row) => row.key === id));
  $("reader").focus();
}

function button(name, key, action, { disabled = false, title = null, pressed } = {}) {
  return make("button", { type: "button", onclick: action, disabled, title, "aria-keyshortcuts": key, "aria-pressed": pressed === undefined ? null : String(pressed) }, name, make("kbd", { "aria-hidden": "true" }, key));
}

function approve() {
  if (!rows.length) return;
  const free = mode === "item" ? rows[at].items.filter((one) => one.severity !== CRITICAL) : clean(rows[at].items);
  if (!free.length) return say("Nothing here can be approved: findings stand in the way.");
  decide(free.map((one) => one.id), { action: "approve" });
  onward();
}

function undo() {
  if (!rows.length) return;
  decide(rows[at].items.map((one) => one.id), null);
  fill($("list").querySelectorAll("button")[at], label(rows[at].items));
  read();
  say("Taken back.");
}

function write(action) {
  if (!rows.length || (action === "override" && mode !== "item")) return;
  writing = action;
  read();
  $("reader").querySelector(".write input, .write textarea").focus();
}

let lastReason = "";
function form(items) {
  const [one] = items;
  const before = decided.get(one.id)?.action === writing ? decided.get(one.id) : {};
  const rejecting = writing === "reject";
  const field = (id, name, node) => [make("label", { for: id }, name), node];
  const reason = make("input", { id: "reason", maxlength: 2000, required: true, autocomplete: "off" });
  reason.value = before.reason || (rejecting ? lastReason : "");
  const title = make("input", { id: "new-title", maxlength: 200, required: true, autocomplete: "off" });
  const content = make("textarea", { id: "new-content", maxlength: 8000, required: true, rows: 9 });
  const changes = make("div", { class: "diff text", role: "region", "aria-label": "What changes", tabindex: 0 });
  title.value = before.title ?? one.title;
  content.value = before.content ?? one.content;
  const compare = () => changes.replaceChildren(...diff(`${one.title}\n\n${one.content}`, `${title.value}\n\n${content.value}`).childNodes);
  title.addEventListener("input", compare);
  content.addEventListener("input", compare);
  compare();
  const keep = (event) => {
    event.preventDefault();
    const why = reason.value.trim();
    if (!why) { reason.value = ""; reason.reportValidity(); return; }
    if (rejecting) {
      lastReason = why;
      decide(items.map((each) => each.id), { action: "reject", reason: why });
    } else {
      const changed = { ...(title.value !== one.title && { title: title.value }), ...(content.value !== one.content && { content: content.value }) };
      if (!Object.keys(changed).length) return say("Nothing is changed: approve it, or write other words.");
      decide([one.id], { action: "override", reason: why, ...changed });
    }
    $("reader").focus({ preventScroll: true });
    onward();
  };
  return make("form", { class: "write", onsubmit: keep, "aria-label": rejecting ? "Reject" : "Override" },
    rejecting ? make("p", { class: "quiet" }, `For good; keeps this piece away from ${items.length === 1 ? "this customer" : `these ${items.length} customers`} for 90 days.`) : null,
    rejecting ? null : [...field("new-title", "Title", title), ...field("new-content", "Text (keep the disclosures; a figure must be one of the customer’s)", content), make("label", {}, "What changes"), changes],
    ...field("reason", "Reason", reason),
    make("p", { class: "actions" }, make("button", { class: "go" }, rejecting ? `Reject ${items.length === 1 ? "" : items.length}` : "Override"), make("button", { type: "button", onclick: leave }, "Cancel")));
}

function leave() {
  writing = null;
  read();
  $("reader").focus({ preventScroll: true });
}

// Longest common run of words; what is only in the old text is struck out, what is only in the new one underlined.
function diff(old, now) {
  const a = old.split(/(?<=\s)(?=\S)/), b = now.split(/(?<=\s)(?=\S)/);
  const best = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--) best[i][j] = a[i] === b[j] ? best[i + 1][j + 1] + 1 : Math.max(best[i + 1][j], best[i][j + 1]);
  const runs = [];
  const add = (kind, word) => { if (runs.at(-1)?.[0] === kind) runs.at(-1)[1] += word; else runs.push([kind, word]); };
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { add("same", a[i++]); j++; }
    else if (j >= b.length || (i < a.length && best[i + 1][j] >= best[i][j + 1])) add("del", a[i++]);
    else add("ins", b[j++]);
  }
  return make("div", { class: "diff text" }, runs.map(([kind, words]) => kind === "same" ? words : make(kind, {}, words)));
}

// --- Customers ---

const waitingFor = Map.groupBy ? Map.groupBy(desk.items, (one) => one.user) : desk.items.reduce((map, one) => map.set(one.user, [...(map.get(one.user) || []), one]), new Map());
for (const one of desk.customers) one.words = [one.id, ...one.consent.map((scope) => `consent ${scope}`), ...one.personas, ...one.streams.flat()].join(" ").toLowerCase();
let reach = 50;

function people() {
  const sought = $("who").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = desk.customers.filter((one) => sought.every((word) => one.words.includes(word)));
  $("who-shown").textContent = many(found.length, "customer", "customers");
  $("more").hidden = found.length <= reach;
  fill($("people").tBodies[0], found.slice(0, reach).map(person));
}

function person(one) {
  const toggle = make("button", { type: "button", "aria-expanded": "false" }, one.id);
  const row = make("tr", { "data-id": one.id }, make("th", { scope: "row" }, toggle), make("td", {}, one.consent.join(", ") || "none"),
    one.personas.map((persona) => make("td", {}, persona)), make("td", { class: "n" }, String(one.streams.length)), make("td", { class: "n" }, String(waitingFor.get(one.id)?.length || 0)));
  toggle.addEventListener("click", () => {
    const open = toggle.getAttribute("aria-expanded") === "true";
    toggle.setAttribute("aria-expanded", String(!open));
    if (open) row.nextElementSibling.remove();
    else row.after(make("tr", { class: "more" }, make("td", { colspan: 6 }, details(one))));
  });
  return row;
}

function details(one) {
  return [
    make("div", { class: "columns" },
    waitingFor.get(one.id) ? make("div", {}, make("h4", {}, "Waiting"), make("ul", {}, waitingFor.get(one.id).map((each) => make("li", {}, make("a", { href: `#queue/${encodeURIComponent(each.id)}` }, each.title))))) : null,
    [30, 180].map((window, n) => one.reasons[n].length ? make("div", {}, make("h4", {}, `Why ${one.personas[n]} by ${window} days`), make("ul", {}, one.reasons[n].map((reason) => make("li", {}, reason)))) : null)),
    make("h4", {}, "What repeats"),
    one.streams.length ? table(["Payee", "Kind", "Cadence", "Status", "Times", "Typical", "A month", "Last"], one.streams, [4, 5, 6]) : make("p", { class: "quiet" }, "Nothing that was found."),
    make("h4", {}, "Signals by 30 and by 180 days"),
    make("div", { class: "signals" }, one.signals.map(([name, short, long]) => make("div", {}, make("span", {}, name), make("span", {}, short), make("span", {}, long)))),
  ].flat(Infinity).filter(Boolean);
}

// --- Views, controls, keys ---

function setMode(to, again = true) {
  mode = to;
  at = 0;
  writing = null;
  $("by-item").setAttribute("aria-pressed", String(to === "item"));
  $("by-template").setAttribute("aria-pressed", String(to === "template"));
  if (again) list();
}

function route() {
  const [name, id] = location.hash.slice(1).split("/");
  view = ["queue", "day", "customers", "how"].includes(name) ? name : "queue";
  for (const section of document.querySelectorAll(".view")) section.hidden = section.id !== view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (view === "customers" && id) {
    $("who").value = decodeURIComponent(id);
    people();
    $("people").querySelector(`tr[data-id="${CSS.escape(decodeURIComponent(id))}"] button`)?.click();
  }
  handIn();
  scrollTo(0, 0);
  if (view === "queue" && id) {
    history.replaceState(null, "", "#queue"); // the same link works twice
    show(decodeURIComponent(id));
  }
}

const keys = {
  j: () => go(at + 1, true), ArrowDown: () => go(at + 1, true), k: () => go(at - 1, true), ArrowUp: () => go(at - 1, true),
  a: approve, r: () => write("reject"), o: () => write("override"), u: undo,
  t: () => setMode(mode === "item" ? "template" : "item"), c: () => copy($("config"), "Config"), "/": () => $("find").focus(), "?": () => $("keys").showModal(),
};
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && writing) return leave();
  if (view !== "queue" || !desk.items.length || event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
  if (event.target.matches("input, textarea, select")) return;
  const arrow = event.key.startsWith("Arrow");
  if (arrow ? !event.target.closest("#list") : !$("keys-on").checked) return;
  const action = keys[event.key];
  if (action) { event.preventDefault(); action(); }
});

const hours = (Date.now() - new Date(desk.generated_at)) / 36e5;
if (hours >= 1) $("written-ago").textContent = hours < 48 ? `, ${Math.round(hours)} h ago` : `, ${Math.round(hours / 24)} days ago`;
if (desk.items.length) {
  $("by-item").addEventListener("click", () => setMode("item"));
  $("by-template").addEventListener("click", () => setMode("template"));
  $("only").addEventListener("change", () => { at = 0; list(); });
  $("find").addEventListener("input", () => { at = 0; list(); });
  $("keys-open").addEventListener("click", () => $("keys").showModal());
  for (const id of ["operator", "note"]) $(id).addEventListener("input", handIn);
  for (const id of ["copy-config", "bar-copy"]) $(id).addEventListener("click", () => copy($("config"), "Config"));
  $("copy-commands").addEventListener("click", () => copy($("commands"), "Commands"));
  $("start-over").addEventListener("click", () => { decide([...decided.keys()], null); list(); });
  list();
}
$("who").addEventListener("input", () => { reach = 50; people(); });
$("more").addEventListener("click", () => { reach += 200; people(); });
addEventListener("hashchange", route);
people();
route();
