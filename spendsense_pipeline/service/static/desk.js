// The desk: the queue on the left, one text to read and decide on, a key for each decision, and what others do meanwhile.

import { call, day, h, moment, words } from "./page.js";

const POLL = 1_500; // ms: two of them pass before somebody else's decision is two seconds old
const STILL_HERE = 60_000; // ms: an opened text is held for two minutes
const TYPING = 300; // ms of quiet before the guardrails are asked
const AHEAD = 2; // texts fetched before they are asked for
const NEAR_END = 10; // rows before the end at which the next page is fetched

const $ = (selector, within = document) => within.querySelector(selector);
const desk = $("#desk"), list = $("#list"), pane = $("#pane"), status = $("#status"), toast = $("#toast");
const me = desk.dataset.operator, decides = desk.dataset.decides === "yes";
const narrow = matchMedia("(max-width: 52rem)");

const state = {
  rows: new Map(), // id → {row, node}, in the queue's order
  texts: new Map(), // id → promise of the text in full
  current: null, // id of the text in the pane
  shown: null, // the text in the pane
  total: 0, // texts of this filter, as far as we know
  complete: false, // whether all of them are in the list
  loading: null,
  filter: { status: "pending_approval" },
  seq: Number(desk.dataset.seq),
  looking: {},
  decided: [], // own decisions of this page, for undo
  busy: false,
  editing: null, // the open form of an override
};

// ---- the list

async function load() {
  if (state.complete || state.loading) return state.loading;
  const asked = new URLSearchParams({ ...state.filter, offset: waitingRows().length });
  state.loading = (async () => {
    const filter = state.filter;
    const page = await call(`/desk/queue?${asked}`);
    if (filter !== state.filter) return;
    let added = 0;
    for (const row of page.queue) {
      if (state.rows.has(row.recommendation_id)) continue;
      add(row);
      added += 1;
    }
    state.total = page.total;
    state.complete = added === 0 || waitingRows().length >= page.total;
    describeEnd();
  })();
  try {
    await state.loading;
  } catch (error) {
    say(error.message, true);
    $("#end").textContent = "The queue could not be loaded.";
  } finally {
    state.loading = null;
  }
}

function describeEnd() {
  const shown = waitingRows().length;
  const all = shown === 1 ? "1 text" : `${shown.toLocaleString("en")} texts`;
  $("#end").textContent = state.complete
    ? (shown ? `${all}, and that is all` : "Nothing here")
    : `${all} of ${state.total.toLocaleString("en")}; scroll for more`;
}

const waitingRows = () => [...state.rows.values()].filter(({ row }) => !row.gone).map(({ row }) => row);

function add(row, before = null) {
  const id = row.recommendation_id;
  const node = h("li", {}, h("button", { type: "button", "data-id": id, tabindex: "-1", onclick: () => open(id, { read: true }) }));
  if (before && state.rows.has(before)) {
    const entries = [...state.rows];
    const place = entries.findIndex(([key]) => key === before);
    entries.splice(place, 0, [id, { row, node }]);
    state.rows = new Map(entries);
    list.insertBefore(node, state.rows.get(before).node);
  } else {
    state.rows.set(id, { row, node });
    list.append(node);
  }
  paint(id);
}

function paint(id) {
  const entry = state.rows.get(id);
  if (!entry) return;
  const { row, node } = entry;
  const others = state.looking[id] ?? [];
  $("button", node).replaceChildren(
    h("span", { class: "title" }, row.title),
    h("span", { class: "meta" }, `${words(row.persona)} · ${row.user_id} · ${age(row.age_hours)}`),
    h("span", { class: "badges" },
      row.severity === 2 && h("span", { class: "badge bad" }, "critical"),
      row.severity === 1 && h("span", { class: "badge warn" }, "finding"),
      !row.wording_approved && h("span", { class: "badge new" }, "new wording"),
      row.near_expiry && h("span", { class: "badge warn" }, "expires soon"),
      row.content_type === "partner_offer" && h("span", { class: "badge" }, "offer"),
      others.length > 0 && h("span", { class: "badge other" }, `${others.join(", ")} reads`),
      row.gone && h("span", { class: "badge" }, row.gone)));
  node.classList.toggle("gone", Boolean(row.gone));
  const here = id === state.current;
  $("button", node).tabIndex = here ? 0 : -1;
  if (here) $("button", node).setAttribute("aria-current", "true");
  else $("button", node).removeAttribute("aria-current");
}

const age = (hours) => (hours < 48 ? `${Math.round(hours)} h` : `${Math.round(hours / 24)} days`);

function neighbour(step, from = state.current) {
  const ids = [...state.rows.keys()];
  for (let place = ids.indexOf(from) + step; place >= 0 && place < ids.length; place += step) {
    if (!state.rows.get(ids[place]).row.gone) return ids[place];
  }
  return null;
}

async function move(step) {
  if (state.editing) return;
  if (step > 0 && neighbour(1) === null) await load();
  const next = neighbour(step);
  if (next) await open(next);
}

// ---- the text

function text(id) {
  if (!state.texts.has(id)) {
    const fetched = call(`/desk/item/${encodeURIComponent(id)}?prefetch=true`);
    fetched.catch(() => state.texts.delete(id));
    state.texts.set(id, fetched);
  }
  return state.texts.get(id);
}

async function open(id, { focus = true, read = false } = {}) {
  if (state.editing && id !== state.current && !confirm("Leave your words unsaved?")) return;
  const before = state.current;
  state.current = id;
  state.editing = null;
  for (const one of [before, id]) if (one) paint(one);
  if (before && before !== id && state.rows.get(before)?.row.gone) remove(before);
  const button = state.rows.get(id) && $("button", state.rows.get(id).node);
  button?.scrollIntoView({ block: "nearest" });
  if (read || !narrow.matches) document.body.classList.add("reading");
  if (focus && !(narrow.matches && document.body.classList.contains("reading"))) button?.focus({ preventScroll: true });
  let item;
  try {
    item = await text(id);
  } catch (error) {
    if (id === state.current) {
      state.shown = null;
      pane.replaceChildren(back(), h("div", { class: "empty" }, h("h2", {}, "Not to be read"), h("p", {}, error.message)));
    }
    return;
  }
  if (id !== state.current) return;
  show(item);
  if (narrow.matches && read) $("h2", pane)?.focus();
  opened(id);
  for (let ahead = id, left = AHEAD; left > 0; left -= 1) {
    ahead = neighbour(1, ahead);
    if (ahead === null) break;
    text(ahead).catch(() => {});
  }
  if ([...state.rows.keys()].indexOf(id) >= state.rows.size - NEAR_END) load();
}

/** Tell the service that the text is before its reader, and hear whether it is still the one that stands. */
async function opened(id) {
  try {
    const answer = await call(`/desk/item/${encodeURIComponent(id)}/opened`, {});
    if (id !== state.current || !state.shown) return;
    state.looking[id] = answer.looking;
    leaseNotice();
    if (answer.content_hash !== state.shown.content_hash || answer.status !== state.shown.status) {
      if (state.editing || state.busy) return;
      state.texts.delete(id);
      const item = await text(id);
      if (id === state.current && !state.editing) show(item);
    }
  } catch (error) {
    if (error.status !== 0) say(error.message, true);
  }
}

const back = () => h("button", { type: "button", class: "quiet back", onclick: toList }, "← Queue");

function toList() {
  document.body.classList.remove("reading");
  const entry = state.rows.get(state.current);
  if (entry) $("button", entry.node).focus();
}

function show(item) {
  state.shown = item;
  const waits = item.status === "pending_approval";
  pane.replaceChildren(
    back(),
    h("header", { class: "pane-head" },
      h("p", { class: "eyebrow" }, item.content_type === "partner_offer" ? "Partner offer" : "Education", " · ", words(item.persona)),
      h("h2", { tabindex: "-1" }, item.title),
      h("p", { class: "badges" },
        !waits && h("span", { class: "badge" }, words(item.status)),
        !item.wording_approved && h("span", { class: "badge new" }, "new wording"),
        item.near_expiry && h("span", { class: "badge warn" }, "expires soon"),
        item.author && h("span", { class: "badge other" }, `words of ${item.author}`),
        item.insight && h("span", { class: "badge" }, words(item.insight)))),
    h("div", { id: "notices", class: "notices" }),
    h("div", { class: "pane-body" },
      h("div", { class: "reading-column" },
        findingList(item.findings),
        h("div", { class: "text" }, marked(item.content, item, "content")),
        h("div", { class: "why" }, h("h3", {}, "Why they get it"), h("p", {}, marked(item.rationale, item, "rationale"))),
        item.original && h("details", { class: "original", open: true },
          h("summary", {}, "The pipeline's own words"),
          h("h4", {}, item.original.title), h("div", { class: "text small" }, item.original.content))),
      h("div", { class: "facts" }, figureTable(item), reasons(item), about(item), earlier(item))),
    decides ? actions(item) : h("p", { class: "actions small quiet" }, "Your role reads; operators decide."));
  pane.scrollTop = 0;
  leaseNotice();
  status.textContent = `${place()}: ${item.title}`;
}

function place() {
  const ids = [...state.rows.keys()];
  return `${ids.indexOf(state.current) + 1} of ${state.total}`;
}

/** The text with its figures marked, and the sentence that a finding quotes. */
function marked(source, item, part) {
  const spans = [];
  for (const figure of item.figures) {
    if (figure.shown.length < 1) continue;
    for (let at = source.indexOf(figure.shown); at >= 0; at = source.indexOf(figure.shown, at + figure.shown.length)) {
      const end = at + figure.shown.length;
      const edge = (character) => character === undefined || !/[\p{L}\p{N}]/u.test(character);
      if (edge(source[at - 1]) && edge(source[end])) spans.push({ at, end, kind: "figure", title: figure.meaning });
    }
  }
  for (const finding of item.findings) {
    if (finding.where !== part || !finding.sentence) continue;
    const at = source.indexOf(finding.sentence);
    if (at >= 0) spans.push({ at, end: at + finding.sentence.length, kind: `found ${finding.severity}`, title: finding.message });
  }
  spans.sort((one, other) => one.at - other.at || other.end - one.end);
  const build = (from, to, inner) => {
    const nodes = [];
    let here = from;
    for (let n = 0; n < inner.length; n += 1) {
      const span = inner[n];
      if (span.at < here || span.end > to) continue;
      const within = inner.slice(n + 1).filter((other) => other.at >= span.at && other.end <= span.end && other.kind !== span.kind);
      nodes.push(source.slice(here, span.at));
      nodes.push(h("mark", { class: span.kind, title: span.title }, build(span.at, span.end, within)));
      here = span.end;
    }
    nodes.push(source.slice(here, to));
    return nodes;
  };
  return build(0, source.length, spans);
}

const findingList = (findings) => findings.length > 0 && h("ul", { class: "findings", "aria-label": "Findings" }, findings.map(finding));

const finding = (one) => h("li", { class: `finding ${one.severity}` },
  h("b", {}, `${words(one.check)}, ${one.severity}`), " ", one.message,
  one.where && h("span", { class: "where" }, `${one.where}: “${one.sentence}”`));

const figureTable = (item) => item.figures.length > 0 && h("section", {},
  h("h3", {}, "Figures"),
  h("table", {},
    h("thead", { class: "out" }, h("tr", {}, h("th", { scope: "col" }, "Shown"), h("th", { scope: "col" }, "Meaning"))),
    h("tbody", {}, item.figures.map((figure) => h("tr", {},
      h("th", { scope: "row" }, figure.shown),
      h("td", {}, figure.meaning, figure.inputs.length > 0 && h("span", { class: "small quiet block" },
        "from ", figure.inputs.map((input) => `${input.name} ${input.value}`).join("; "))))))));

const reasons = (item) => (item.reasons.length + item.situation.length > 0) && h("section", {},
  h("h3", {}, "Reasons met"),
  h("ul", { class: "plain" }, [...item.reasons, ...item.situation].map((line) => h("li", {}, line))));

const about = (item) => h("section", {},
  h("h3", {}, "About"),
  h("dl", { class: "pairs" },
    pair("Customer", h("a", { href: `/desk/customers/${encodeURIComponent(item.user_id)}` }, item.user_id)),
    pair("Consent", item.consent.closed_at ? h("b", { class: "bad-text" }, `ended ${moment(item.consent.closed_at)}`)
      : `${words(item.consent.scope)}, since ${day(item.consent.granted_at ?? item.consent.opened_at)}`),
    pair("Figures of", day(item.as_of)),
    pair("Expires", moment(item.expires_at)),
    item.product_id && pair("Product", item.product_id),
    pair("Wording", h("a", { href: `/desk/wordings?ref=${encodeURIComponent(item.reference)}` }, item.reference)),
    item.decisions.map((one) => pair(`${one.operator_id}`, `${words(one.action)}, ${moment(one.decided_at)}${one.reason ? `: ${one.reason}` : ""}`))));

const pair = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));

const earlier = (item) => h("section", {},
  h("h3", {}, "This customer before"),
  item.earlier.length === 0 ? h("p", { class: "small quiet" }, "Nothing yet.")
    : h("ul", { class: "plain earlier" }, item.earlier.map((one) => h("li", {},
      h("b", {}, one.title), h("span", { class: "small quiet block" }, fate(one))))));

function fate(one) {
  const parts = [day(one.as_of)];
  if (one.released_at) parts.push(`released ${day(one.released_at)}`);
  if (one.ended_at) parts.push(`ended ${day(one.ended_at)}: ${words(one.cause)}`);
  if (!one.released_at) parts.push(words(one.status));
  if (one.action && one.action !== "approve") parts.push(`${words(one.action)} by ${one.decided_by}${one.reason ? ` (${one.reason})` : ""}`);
  for (const [kind, number] of Object.entries(one.feedback)) parts.push(`${words(kind)} × ${number}`);
  return parts.join(" · ");
}

function leaseNotice() {
  const others = state.looking[state.current] ?? [];
  notice("lease", others.length > 0 && `${others.join(" and ")} ${others.length > 1 ? "have" : "has"} this text open, too.`);
}

function notice(name, content, kind = "") {
  const box = $("#notices");
  if (!box) return;
  $(`[data-notice="${name}"]`, box)?.remove();
  if (content) box.append(h("div", { class: `notice ${kind}`, "data-notice": name, role: "status" }, content));
}

// ---- deciding

function actions(item) {
  if (item.status !== "pending_approval") {
    const undoable = ["approved", "overridden"].includes(item.status) && !item.released_at;
    return h("div", { class: "actions" }, undoable
      ? h("button", { type: "button", onclick: () => undo(item.recommendation_id, item.title) }, "Undo the decision")
      : h("p", { class: "small quiet" }, item.released_at ? "It was released; an admin can recall it." : "There is nothing to decide any more."));
  }
  const key = (letter) => h("kbd", { "aria-hidden": "true" }, letter);
  const critical = item.severity === 2;
  return h("div", { class: "actions", role: "group", "aria-label": "Decide" },
    h("button", { type: "button", class: "go", disabled: critical, "aria-keyshortcuts": "a", onclick: approve }, "Approve ", key("a")),
    h("button", { type: "button", "aria-keyshortcuts": "r", onclick: askReason }, "Reject ", key("r")),
    h("button", { type: "button", "aria-keyshortcuts": "o", onclick: edit }, "Override ", key("o")),
    critical && h("span", { class: "small quiet" }, "A critical finding cannot be approved."));
}

function approve() {
  if (state.shown?.severity === 2) return say("A critical finding stands in the way: override it or reject it.", true);
  return decide("approve");
}

/** Send one decision on the text in the pane; the next text comes when the service has taken it. */
async function decide(action, extra = {}) {
  const item = state.shown;
  if (state.busy || !item || item.recommendation_id !== state.current || item.status !== "pending_approval") return null;
  state.busy = true;
  pane.setAttribute("aria-busy", "true");
  let result;
  try {
    const id = item.recommendation_id;
    ({ results: [result] } = await call("/desk/decide", [{ action, recommendation_id: id, content_hash: item.content_hash, ...extra }]));
    state.texts.delete(id);
    if (result.ok) await after(action, item, result);
    else await refused(item, result);
  } catch (error) {
    say(error.message, true);
  } finally {
    state.busy = false;
    pane.removeAttribute("aria-busy");
  }
  return result;
}

const DONE = { approve: "Approved", reject: "Rejected", override: "Overridden", undo: "Waits again" };

async function after(action, item, result) {
  const id = item.recommendation_id;
  state.decided.push({ id, action, title: item.title });
  say(`${DONE[action]}: ${item.title}`, false, action !== "reject");
  state.editing = null;
  if (neighbour(1) === null) await load();
  const next = neighbour(1) ?? neighbour(-1);
  if (result.status !== state.filter.status) {
    count(-1);
    state.total = Math.max(0, state.total - 1);
    const entry = state.rows.get(id);
    if (entry) entry.row.gone = words(result.status);
  }
  if (next) await open(next, { read: document.body.classList.contains("reading") });
  else empty();
  if (state.rows.get(id)?.row.gone) remove(id);
  describeEnd();
}

async function refused(item, result) {
  if (result.findings?.length && state.editing) return state.editing.found(result.findings);
  const line = `Not done: ${result.advice || words(result.refused)}`;
  if (["changed", "already_decided", "expired", "voided", "superseded", "already_released"].includes(result.refused)) {
    state.editing = null;
    const fresh = await text(item.recommendation_id);
    show(fresh);
  }
  notice("refused", line, "bad");
  say(line, true);
}

async function undo(id, title) {
  if (state.busy || state.editing) return;
  state.busy = true;
  try {
    const { results: [result] } = await call("/desk/decide", [{ action: "undo", recommendation_id: id }]);
    if (!result.ok) return void say(`Not undone: ${result.advice || words(result.refused)}`, true);
    state.texts.delete(id);
    const item = await text(id);
    if (state.filter.status === "pending_approval") {
      if (state.rows.has(id)) remove(id);
      add(item, state.current);
      state.total += 1;
      count(1);
    } else if (state.rows.has(id)) {
      state.rows.get(id).row.gone = "waits again";
    }
    say(`${DONE.undo}: ${title}`);
    describeEnd();
    await open(id, { read: document.body.classList.contains("reading") });
  } catch (error) {
    say(error.message, true);
  } finally {
    state.busy = false;
  }
}

function undoLast() {
  const last = state.decided.pop();
  if (!last) return say("There is no decision of this page to undo.");
  if (last.action === "reject") {
    state.decided.push(last);
    return say(`A rejection is final: ${last.title}`);
  }
  return undo(last.id, last.title);
}

function remove(id) {
  const entry = state.rows.get(id);
  if (!entry) return;
  entry.node.remove();
  state.rows.delete(id);
}

function empty() {
  state.current = null;
  state.shown = null;
  document.body.classList.remove("reading");
  pane.replaceChildren(h("div", { class: "empty" },
    h("h2", {}, "All read"), h("p", { class: "quiet" }, "Nothing waits in this list. New texts appear here by themselves.")));
}

function count(change) {
  const waiting = $("#waiting");
  waiting.textContent = (Number(waiting.textContent.replaceAll(",", "")) + change).toLocaleString("en");
}

let toastTimer;
function say(message, bad = false, undoable = false) {
  status.textContent = message;
  toast.replaceChildren(h("span", {}, message),
    undoable && decides && h("button", { type: "button", class: "quiet", onclick: undoLast }, "Undo ", h("kbd", { "aria-hidden": "true" }, "u")));
  toast.classList.toggle("bad", bad);
  toast.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { toast.hidden = true; }, bad ? 9_000 : 5_000);
}

// ---- rejecting

const rejection = $("#reject");

function askReason() {
  if (!state.shown || state.shown.status !== "pending_approval" || state.busy) return;
  $("#other").hidden = true;
  $("#other-words").value = "";
  rejection.showModal();
  $("button[data-reason]", rejection).focus();
}

function choose(reason) {
  if (reason === "other") {
    $("#other").hidden = false;
    $("#other-words").focus();
    return;
  }
  rejection.close();
  decide("reject", { reason });
}

function rejectInWords() {
  const said = $("#other-words").value.trim();
  if (!said) return $("#other-words").focus();
  rejection.close();
  return decide("reject", { reason: `other: ${said}` });
}

rejection.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-reason]");
  if (button) choose(button.dataset.reason);
});
rejection.addEventListener("keydown", (event) => {
  if (event.target === $("#other-words")) {
    if (event.key === "Enter") { event.preventDefault(); rejectInWords(); }
    return;
  }
  const button = $(`li:nth-child(${Number(event.key) || 0}) button[data-reason]`, rejection);
  if (/^[1-9]$/.test(event.key) && button) { event.preventDefault(); choose(button.dataset.reason); }
});
$("#other-go").addEventListener("click", rejectInWords);
rejection.addEventListener("close", () => pane.querySelector("h2")?.focus({ preventScroll: true }));

// ---- overriding

function edit() {
  const item = state.shown;
  if (!item || item.status !== "pending_approval" || state.editing || state.busy) return;
  const title = h("input", { id: "own-title", maxlength: "200", autocomplete: "off" });
  const content = h("textarea", { id: "own-content", maxlength: "8000", rows: "9" });
  const reason = h("input", { id: "own-reason", maxlength: "2000", autocomplete: "off", placeholder: "kept with the decision" });
  title.value = item.title;
  content.value = item.content;
  const found = h("div", { id: "own-findings", role: "status", class: "own-findings" });
  const save = h("button", { type: "submit", class: "go" }, "Save your words");
  let timer, latest = 0, critical = false, checking = false;

  const settle = () => {
    const same = title.value === item.title && content.value === item.content;
    save.disabled = critical || checking || same || !title.value.trim() || !content.value.trim() || !reason.value.trim();
  };
  const showFindings = (findings) => {
    critical = findings.some((one) => one.severity === "critical");
    const inTitle = findings.filter((one) => one.where === "title");
    for (const [field, mine] of [[title, inTitle], [content, findings.filter((one) => one.where !== "title")]]) {
      field.setAttribute("aria-invalid", String(mine.some((one) => one.severity === "critical")));
    }
    found.replaceChildren(findings.length
      ? h("ul", { class: "findings" }, findings.map(finding))
      : h("p", { class: "small good-text" }, "The guardrails find nothing."));
    settle();
  };
  const check = async () => {
    const mine = (latest += 1);
    try {
      const answer = await call("/desk/check", { recommendation_id: item.recommendation_id, title: title.value, content: content.value });
      if (mine !== latest) return;
      checking = false;
      showFindings(answer.findings);
    } catch (error) {
      if (mine !== latest) return;
      checking = false;
      found.replaceChildren(h("p", { class: "small bad-text" }, error.message));
      settle();
    }
  };
  const typed = () => {
    clearTimeout(timer);
    checking = true;
    latest += 1;
    settle();
    timer = setTimeout(check, TYPING);
  };
  const leave = () => {
    clearTimeout(timer);
    state.editing = null;
    show(item);
    $("h2", pane).focus({ preventScroll: true });
  };
  const form = h("form", { class: "edit stack", "aria-label": "Your words instead", novalidate: true,
    onsubmit: (event) => {
      event.preventDefault();
      if (!save.disabled) decide("override", { title: title.value, content: content.value, reason: reason.value.trim() });
    },
    onkeydown: (event) => {
      if (event.key === "Escape") { event.preventDefault(); leave(); }
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    } },
    h("h3", {}, "Your words instead"),
    h("label", {}, "Title", title),
    h("label", {}, "Text", content),
    found,
    h("label", {}, "Why", reason),
    h("div", { class: "row" }, save, h("button", { type: "button", class: "quiet", onclick: leave }, "Cancel ", h("kbd", { "aria-hidden": "true" }, "Esc")),
      h("span", { class: "small quiet" }, "Ctrl + Enter saves. The pipeline's words are kept beside yours.")));
  title.addEventListener("input", typed);
  content.addEventListener("input", typed);
  reason.addEventListener("input", settle);
  state.editing = { found: showFindings };
  $(".actions", pane).replaceWith(form);
  settle();
  typed();
  content.focus();
  form.scrollIntoView({ block: "nearest" });
}

// ---- keys

const help = $("#help"), keysOn = $("#keys-on");
keysOn.checked = localStorage.getItem("spendsense-keys") !== "off";
keysOn.addEventListener("change", () => localStorage.setItem("spendsense-keys", keysOn.checked ? "on" : "off"));
$("#help-open").addEventListener("click", () => help.showModal());

const KEYS = {
  j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
  ...(decides && { a: approve, r: askReason, o: edit, u: undoLast }),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat && !event.key.startsWith("Arrow") && !"jk".includes(event.key)) return;
  if (document.querySelector("dialog[open]") || event.target.closest("input, textarea, select, summary")) return;
  if (event.key === "?") { event.preventDefault(); help.showModal(); return; }
  if (event.key === "Escape" && narrow.matches) return void toList();
  const action = KEYS[event.key];
  if (!action || state.editing || (event.key.length === 1 && !keysOn.checked)) return;
  if (event.key.startsWith("Arrow") && !(event.target === document.body || list.contains(event.target))) return;
  event.preventDefault();
  action();
});

// ---- what others do

async function poll() {
  if (document.visibilityState === "visible") {
    try {
      take(await call(`/desk/changes?since=${state.seq}`));
      $("#end").classList.remove("bad-text");
    } catch (error) {
      if (error.status === 401) { say(error.message, true); return; }
    }
  }
  setTimeout(poll, POLL);
}

function take({ seq, changes, waiting, looking }) {
  state.seq = seq;
  const touched = new Set([...Object.keys(state.looking), ...Object.keys(looking)]);
  state.looking = looking;
  for (const change of changes) {
    const id = change.recommendation_id;
    const entry = state.rows.get(id);
    if (change.status === state.filter.status) {
      if (entry && id !== state.current) state.texts.delete(id); // other words may stand now
    } else if (entry && !entry.row.gone && !(state.busy && id === state.current)) {
      state.texts.delete(id);
      entry.row.gone = `${words(change.status)} by ${change.operator_id}`;
      state.total = Math.max(0, state.total - 1);
      if (id === state.current) overtaken(id, change);
      else setTimeout(() => id !== state.current && (remove(id), describeEnd()), 4_000);
    }
    touched.add(id);
  }
  for (const id of touched) paint(id);
  if (state.current && touched.has(state.current)) leaseNotice();
  $("#waiting").textContent = waiting.toLocaleString("en");
  const unseen = waiting - state.total;
  const whole = Object.keys(state.filter).length === 1 && state.filter.status === "pending_approval";
  $("#fresh").hidden = !whole || unseen <= 0 || state.loading !== null || state.busy;
  $("#fresh").textContent = `${unseen.toLocaleString("en")} new: show them`;
  describeEnd();
}

/** Somebody else decided on the text that is being read. */
function overtaken(id, change) {
  const line = `${change.operator_id} decided while you read: ${words(change.status)}.`;
  if (state.shown) state.shown.status = change.status;
  if (state.editing) {
    notice("overtaken", `${line} Your words cannot be saved any more; copy what you need.`, "warn");
  } else {
    $(".actions", pane)?.replaceWith(h("div", { class: "actions" },
      h("button", { type: "button", class: "go", onclick: () => move(1) }, "Next text ", h("kbd", { "aria-hidden": "true" }, "j"))));
    notice("overtaken", line, "warn");
  }
  say(line);
}

// ---- filters and the beginning

function restart(filter, first = null) {
  state.filter = filter;
  state.rows.clear();
  state.texts.clear();
  state.complete = false;
  state.loading = null;
  state.editing = null;
  list.replaceChildren();
  const more = Object.keys(filter).length - 1 + (filter.status === "pending_approval" ? 0 : 1);
  $("#filtered").hidden = more === 0;
  $("#filtered").textContent = `${more} set`;
  return load().then(async () => {
    const id = first ?? state.rows.keys().next().value;
    if (first && !state.rows.has(first)) {
      try {
        add(await text(first), state.rows.keys().next().value);
      } catch (error) {
        say(error.message, true);
        return;
      }
    }
    if (id) await open(id, { focus: false, read: Boolean(first) });
    else empty();
  });
}

const form = $("#filter");
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const chosen = Object.fromEntries([...new FormData(form)].filter(([, value]) => value.trim()));
  restart(chosen);
});
form.addEventListener("reset", () => restart({ status: "pending_approval" }));
$("#fresh").addEventListener("click", () => { $("#fresh").hidden = true; restart(state.filter); });

new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && state.rows.size && load(), { rootMargin: "400px" }).observe($("#end"));
setInterval(() => document.visibilityState === "visible" && state.current && state.shown && opened(state.current), STILL_HERE);

const given = new URLSearchParams(location.search);
const asked = { status: "pending_approval" };
for (const name of ["status", "persona", "user", "template"]) {
  if (given.get(name)) form.elements[name].value = asked[name] = given.get(name);
}
$("#filters").open = Object.keys(asked).length > 1;
restart(asked, given.get("item")).then(poll);
