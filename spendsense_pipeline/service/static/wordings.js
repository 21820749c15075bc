// Wordings: a text has to be opened before its wording is approved; standing approvals are given and ended here.

import { call, h, words } from "./page.js";

const $ = (selector) => document.querySelector(selector);
const buttons = document.querySelectorAll("button[data-opened]");

function enable() {
  for (const button of buttons) {
    const opened = button.dataset.opened === "yes";
    button.disabled = !opened || Number(button.dataset.count) === 0;
    const why = document.getElementById(button.getAttribute("aria-describedby"));
    if (opened && Number(button.dataset.count) > 0) why.textContent = "";
  }
}
enable();

const notice = (kind, text) => h("p", { class: `notice ${kind}` }, text);

for (const sample of document.querySelectorAll("details.sample")) {
  sample.addEventListener("toggle", async () => {
    if (!sample.open || sample.dataset.sent) return;
    sample.dataset.sent = "yes";
    try {
      await call(`/desk/item/${encodeURIComponent(sample.dataset.item)}/opened`, {});
      for (const button of buttons) button.dataset.opened = "yes";
      enable();
    } catch (error) {
      delete sample.dataset.sent;
      sample.append(notice("bad", error.message));
    }
  });
}

$("#approve")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.currentTarget, button = form.querySelector("button"), answer = $("#approve-answer");
  button.disabled = true;
  try {
    const done = await call("/desk/wordings/approve", { reference: form.dataset.reference, note: form.elements.note.value });
    const left = Object.entries(done.left).map(([why, number]) => `${number} wait on (${words(why)})`);
    answer.replaceChildren(
      notice(done.approved ? "good" : "warn", [`${done.approved} approved`, ...left].join("; ") + "."),
      ...done.refused.map((one) => notice("bad", `${one.count} not approved: ${one.advice || words(one.code)}`)));
    button.dataset.count = "0";
  } catch (error) {
    answer.replaceChildren(notice("bad", error.message));
    enable();
  }
});

$("#give-standing")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.currentTarget, { until, read_percent: share } = form.elements;
  try {
    await call("/desk/wordings/standing", {
      reference: form.dataset.reference, until: until.value, read_percent: Number(share.value),
    });
    location.reload();
  } catch (error) {
    $("#give-answer").replaceChildren(notice("bad", error.message));
  }
});

for (const button of document.querySelectorAll("button[data-end]")) {
  button.addEventListener("click", async () => {
    if (!confirm("End this standing approval now?")) return;
    try {
      await call("/desk/standing/end", { standing_id: button.dataset.end });
      location.reload();
    } catch (error) {
      $("#standing-answer").replaceChildren(notice("bad", error.message));
    }
  });
}
