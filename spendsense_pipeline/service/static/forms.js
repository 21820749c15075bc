// Forms and buttons that post JSON; what came of it is said in the notice.

const csrf = document.querySelector('meta[name="csrf"]').content;
const notice = document.getElementById("notice");
const LISTS = new Set(["scopes"]);

async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-csrf-token": csrf },
    body: JSON.stringify(body),
  });
  const found = await answer.json().catch(() => ({}));
  if (answer.ok) return found;
  const detail = Array.isArray(found.detail) ? found.detail.map((one) => `${one.loc.at(-1)}: ${one.msg}`).join("; ") : found.detail;
  throw new Error(detail ?? `refused (${answer.status})`);
}

function say(text) {
  notice.textContent = text;
  notice.hidden = false;
  notice.scrollIntoView({ block: "nearest" });
}

function fieldsOf(form) {
  const body = {};
  for (const [name, value] of new FormData(form)) {
    if (LISTS.has(name)) (body[name] ??= []).push(value);
    else if (value !== "") body[name] = name === "since" ? new Date(value).toISOString() : value;
  }
  return body;
}

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-form]");
  if (!form) return;
  event.preventDefault();
  try {
    const found = await post(form.dataset.form, fieldsOf(form));
    if (found.token) {
      document.querySelector("#made code").textContent = found.token;
      say("The token is below; it is not shown again.");
    } else if (found.order_id) {
      say(`Recalled ${found.recalled.length}, taken out of review ${found.voided.length}.`);
    } else {
      say("Saved. Load the page again to see it in the list.");
    }
    form.reset();
  } catch (problem) {
    say(problem.message);
  }
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-post]");
  if (!button) return;
  try {
    await post(button.dataset.post, button.dataset.name ? { name: button.dataset.name } : {});
    button.disabled = true;
    say("Done.");
  } catch (problem) {
    say(problem.message);
  }
});
