// Sends the answer on to the client (OAuth 2.0 Form Post Response Mode §2).
document.getElementById("form-post").requestSubmit();
