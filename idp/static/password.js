// Lets a user see the password being typed. The button is of no use without scripts, so it starts hidden.
for (const button of document.querySelectorAll("[data-password-toggle]")) {
  const input = document.getElementById(button.dataset.passwordToggle);

  const show = (shown) => {
    input.type = shown ? "text" : "password";
    button.querySelector("[data-when-shown]").hidden = !shown;
    button.querySelector("[data-when-hidden]").hidden = shown;
  };

  button.hidden = false;
  button.addEventListener("click", () => show(input.type === "password"));
  // Sent as a password again, so that browsers offer to save it and never keep it as typed text.
  input.form.addEventListener("submit", () => show(false));
}
