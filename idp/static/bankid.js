// Follows a BankID order: fetches the QR code of each second and what to say, and goes on when it is over.
const panel = document.getElementById("bankid");
const picture = document.getElementById("bankid-qr");
const status = document.getElementById("bankid-status");
const elsewhere = document.getElementById("bankid-elsewhere");
const instruction = panel?.querySelector("[data-with-qr]");

const EVERY = 1000;
const SLOWEST = 8000;
const ON_THE_WAY = 15000;
const RENEWALS = 5;
let failures = 0;
let timer;
let asking = false;
let nonce = null;
let tapped = false;
let leaving = false;

// The app brings the browser back with a nonce in the fragment, which shows that this is where it was started.
function takeNonce() {
  const found = new URLSearchParams(location.hash.slice(1)).get("nonce");
  if (!found) return;
  nonce = found;
  history.replaceState(null, "", location.pathname + location.search);
}

// A link that nobody has tapped yet runs out in half a minute. It is renewed quietly a few times; once the app
// has been asked to start, it is for the person to try again.
function mayRenew(order) {
  const key = `renewed ${panel.dataset.poll}`;
  const times = Number(sessionStorage.getItem(key));
  if (!order.again || tapped || document.hidden || times >= RENEWALS) return false;
  sessionStorage.setItem(key, times + 1);
  return true;
}

// Another way to log in ends the order: its end must not call back whoever is on the way there. Should the
// other page never come, this one goes on.
function leave() {
  leaving = true;
  clearTimeout(timer);
  timer = setTimeout(stay, ON_THE_WAY);
}

function stay() {
  leaving = false;
  follow();
}

function leadsAway(event) {
  const link = event.target.closest("a[href]");
  const opensBeside = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
  return link !== null && link.origin === location.origin && !opensBeside;
}

async function follow() {
  clearTimeout(timer);
  // A hidden page in QR mode shows its code to nobody; the app on this device hides it while it works.
  if (asking || leaving || (document.hidden && panel.dataset.mode === "qr")) return;
  asking = true;
  try {
    const url = new URL(panel.dataset.poll, location.href);
    if (nonce) url.searchParams.set("nonce", nonce);
    const response = await fetch(url, { headers: { Accept: "application/json" }, cache: "no-store" });
    const order = await response.json();
    failures = 0;
    if (leaving) return;
    if (order.state !== "pending") {
      location.replace(mayRenew(order) ? order.again : order.url);
      return;
    }
    if (order.elsewhere) {
      elsewhere.hidden = false;
      nonce = null;
    }
    if (status.textContent !== order.text) status.textContent = order.text;
    if (picture) {
      picture.hidden = !order.qr;
      instruction.hidden = !order.qr;
      picture.innerHTML = order.qr ?? "";
    }
  } catch {
    failures += 1; // a sleeping tab's first request after waking often fails: go on
  } finally {
    asking = false;
  }
  if (leaving) return;
  timer = setTimeout(follow, Math.min(EVERY * 2 ** failures, SLOWEST));
}

// An iPad presents itself as a Macintosh: the touch points tell, and with them which link opens its app.
if (navigator.maxTouchPoints > 1) {
  for (const link of document.querySelectorAll("#bankid a[href*='device=this']")) link.search += "&touch=1";
}

if (panel?.dataset.state === "pending") {
  document.getElementById("bankid-open")?.addEventListener("click", () => {
    tapped = true;
  });
  takeNonce();
  window.addEventListener("hashchange", () => {
    takeNonce();
    follow();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) follow();
  });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) stay();
  });
  document.addEventListener("click", (event) => {
    if (leadsAway(event)) leave();
  });
  document.addEventListener("submit", leave);
  timer = setTimeout(follow, nonce ? 0 : EVERY);
}
