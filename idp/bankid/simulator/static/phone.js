// Orders come and go in another tab: look again when this one is turned to, unless something is being entered.
if (document.body.hasAttribute("data-refresh")) {
  document.addEventListener("visibilitychange", () => {
    const text = document.getElementById("text");
    if (document.visibilityState === "visible" && text.value === "") {
      location.reload();
    }
  });
}
