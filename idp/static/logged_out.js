// Goes on to the relying app when the other apps' pages have been loaded, or have had their time
// (OpenID Connect Front-Channel Logout 1.0 §3).
const MOST_MILLISECONDS = 4000;
const goOn = () => window.location.replace(document.getElementById("logout-continue").href);
window.addEventListener("load", goOn, { once: true });
window.setTimeout(goOn, MOST_MILLISECONDS);
