// A relying app made with openid-client. It talks to the test in lines of JSON: reads its settings, writes
// the authorization URL, reads what the browser brought back, and writes what it made of that.

import { createInterface } from "node:readline";
import * as client from "openid-client";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const read = async () => JSON.parse((await lines.next()).value);
const write = (value) => console.log(JSON.stringify(value));

const settings = await read();
const authentication = {
  client_secret_basic: () => client.ClientSecretBasic(settings.client_secret),
  client_secret_post: () => client.ClientSecretPost(settings.client_secret),
  none: () => client.None(),
}[settings.authentication]();

const config = await client.discovery(
  new URL(settings.issuer),
  settings.client_id,
  { id_token_signed_response_alg: settings.alg },
  authentication,
  { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] },
);

const verifier = client.randomPKCECodeVerifier();
const state = client.randomState();
const nonce = client.randomNonce();
const parameters = {
  redirect_uri: settings.redirect_uri,
  scope: "openid profile email",
  code_challenge: await client.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  state,
  nonce,
  max_age: "3600",
};
if (settings.response_mode !== "query") {
  parameters.response_mode = settings.response_mode;
}
write({ url: client.buildAuthorizationUrl(config, parameters).href });

const returned = await read();
const current =
  settings.response_mode === "form_post"
    ? new Request(settings.redirect_uri, {
        method: "POST",
        headers: { "content-type": "application/x-www-form-urlencoded" },
        body: returned.body,
      })
    : new URL(returned.url);
const tokens = await client.authorizationCodeGrant(config, current, {
  pkceCodeVerifier: verifier,
  expectedState: state,
  expectedNonce: nonce,
  maxAge: 3600,
  idTokenExpected: true,
});
const claims = tokens.claims();
write({
  metadata: config.serverMetadata().issuer,
  header: JSON.parse(Buffer.from(tokens.id_token.split(".")[0], "base64url").toString()),
  claims,
  userinfo: await client.fetchUserInfo(config, tokens.access_token, claims.sub),
  logout: client.buildEndSessionUrl(config, {
    id_token_hint: tokens.id_token,
    post_logout_redirect_uri: settings.after_logout_uri,
    state: "bye",
  }).href,
});
