// A single-page app: what the library keeps, for the test to use as an app would.

const asked = new URLSearchParams(location.hash.slice(1)); // of the first page; a tab keeps them after that
for (const [name, value] of asked) {
  sessionStorage.setItem(name, value);
}

const settings = {
  authority: sessionStorage.getItem("issuer"),
  client_id: sessionStorage.getItem("client_id"),
  redirect_uri: `${location.origin}/cb`,
  post_logout_redirect_uri: `${location.origin}/`,
  scope: "openid profile email offline_access",
  automaticSilentRenew: false, // the test says when
};
if (sessionStorage.getItem("dpop")) {
  settings.dpop = { bind_authorization_code: true, store: new oidc.IndexedDbDPoPStore() };
} else {
  settings.loadUserInfo = true; // the library does this with bearer tokens only
}
const manager = new oidc.UserManager(settings);

// What the provider says of the person to whom the tokens belong.
async function userinfo(scheme) {
  const user = await manager.getUser();
  const url = await manager.metadataService.getUserInfoEndpoint();
  const headers = { Authorization: `${scheme} ${user.access_token}` };
  if (sessionStorage.getItem("dpop")) {
    headers.DPoP = await manager.dpopProof(url, user, "GET");
  }
  const answer = await fetch(url, { headers });
  return { status: answer.status, body: await answer.json() };
}
