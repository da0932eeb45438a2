// A form with data-submit-once is sent once, however often its button is pressed.
for (const form of document.querySelectorAll("form[data-submit-once]")) {
  const buttons = form.querySelectorAll("button[type=submit]");

  form.addEventListener("submit", (event) => {
    // Afterwards: a button disabled right now would not be sent with its name and value.
    setTimeout(() => {
      for (const button of buttons) button.disabled = true;
      event.submitter?.setAttribute("aria-busy", "true");
    });
  });

  // The browser may bring the page back as it was left (back/forward cache).
  window.addEventListener("pageshow", () => {
    for (const button of buttons) {
      button.disabled = false;
      button.removeAttribute("aria-busy");
    }
  });
}
