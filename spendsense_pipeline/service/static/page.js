// What every page shares: calls to the service, building elements from data (as text, never as markup), logging out.

const csrf = document.querySelector('meta[name="csrf"]')?.content ?? "";

/** Ask the service; a refusal is thrown as an Error whose message is for people and whose `status` is HTTP's. */
export async function call(address, body) {
  const sent = body === undefined ? {} : {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
    body: JSON.stringify(body),
  };
  let response;
  try {
    response = await fetch(address, { ...sent, headers: { Accept: "application/json", ...sent.headers } });
  } catch {
    throw new Refused("The service does not answer. Nothing was changed; try again.", 0);
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  if (response.status === 401) throw new Refused("You are logged out. Load the page again to log in.", 401);
  const detail = Array.isArray(answer.detail) ? answer.detail.map((fault) => fault.msg).join("; ") : answer.detail;
  throw new Refused(detail || `The service answered ${response.status}.`, response.status);
}

export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** An element: `h("p", {class: "small"}, "text", child)`; null and false are left out. */
export function h(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  node.append(...children.flat().filter((child) => child != null && child !== false));
  return node;
}

/** `high_utilization` as `high utilization`. */
export const words = (name) => String(name).replaceAll("_", " ");

const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: "UTC" });

/** `24 Nov 2026, 09:05 UTC`. */
export const moment = (text) => (text ? `${DAY.format(new Date(text))}, ${TIME.format(new Date(text))} UTC` : "–");

/** `24 Nov 2026`. */
export const day = (text) => (text ? DAY.format(new Date(text)) : "–");

document.querySelector("#log-out")?.addEventListener("click", async () => {
  await call("/logout", {});
  location.assign("/login");
});
