// The customer's page: sends switches and words back; the link's token goes along as a header.

const token = document.querySelector('meta[name="customer-token"]').content;
const notice = document.getElementById("notice");

// The token does not stay in the address bar, the history, or what a link on the page would pass on.
history.replaceState(null, "", location.pathname);

async function send(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-customer-token": token },
    body: JSON.stringify(body),
  });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(typeof problem.detail === "string" ? problem.detail : "That did not work; try again.");
  }
  return answer.json();
}

function say(text) {
  notice.textContent = text;
  notice.hidden = false;
}

async function report(card, kind) {
  await send("/me/events", { event_id: crypto.randomUUID(), release_id: card.dataset.release, kind });
}

const THANKS = {
  helpful: "Thank you.",
  not_helpful: "Thank you, we will remember that.",
  wrong_figure: "Thank you. Nobody gets this text until somebody has looked at it.",
  dismissed: "You will not see this again.",
};

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-kind]");
  if (!button) return;
  const card = button.closest("[data-release]");
  button.disabled = true;
  try {
    await report(card, button.dataset.kind);
    say(THANKS[button.dataset.kind]);
    if (button.dataset.kind === "dismissed" || button.dataset.kind === "wrong_figure") card.remove();
  } catch (problem) {
    button.disabled = false;
    say(problem.message);
  }
});

for (const details of document.querySelectorAll("details[data-kind]")) {
  details.addEventListener("toggle", () => report(details.closest("[data-release]"), "opened").catch(() => {}), {
    once: true,
  });
}

document.addEventListener("change", async (event) => {
  const box = event.target;
  if (!box.matches('input[role="switch"]')) return;
  const choice = box.dataset.scope
    ? { scopes: { [box.dataset.scope]: box.checked } }
    : { topics: { [box.dataset.topic]: box.checked } };
  try {
    await send("/me/consent", choice);
    say(box.checked ? "Switched on." : "Switched off.");
    if (!box.checked) {
      const gone = box.dataset.scope ? "scope" : "topic";
      for (const card of document.querySelectorAll(`[data-${gone}="${CSS.escape(box.dataset[gone])}"][data-release]`)) card.remove();
    }
  } catch (problem) {
    box.checked = !box.checked;
    say(problem.message);
  }
});

for (const card of document.querySelectorAll("[data-release]")) report(card, "seen").catch(() => {});
