// A relying app made with openid-client. It talks to the test in lines of JSON: reads its settings, writes
// the authorization URL, reads what the browser brought back, and writes what it made of that.

import { createInterface } from "node:readline";
import * as client from "openid-client";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const read = async () => JSON.parse((await lines.next()).value);
const write = (value) => console.log(JSON.stringify(value));

// A private JWK as a key that signs client assertions and request objects.
const signingKey = async (jwk) => ({
  key: await crypto.subtle.importKey("jwk", jwk, { name: "ECDSA", namedCurve: jwk.crv }, false, ["sign"]),
  kid: jwk.kid,
});

const settings = await read();
const authentication = await {
  client_secret_basic: () => client.ClientSecretBasic(settings.client_secret),
  client_secret_post: () => client.ClientSecretPost(settings.client_secret),
  private_key_jwt: async () => client.PrivateKeyJwt(await signingKey(settings.private_key)),
  none: () => client.None(),
}[settings.authentication]();

const config = await client.discovery(
  new URL(settings.issuer),
  settings.client_id,
  { id_token_signed_response_alg: settings.alg },
  authentication,
  { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] },
);

// With DPoP: a key of the app's own, proven wherever it goes, and first when the request is pushed.
const options = settings.dpop
  ? { DPoP: client.getDPoPHandle(config, await client.randomDPoPKeyPair(settings.dpop)) }
  : undefined;

const verifier = client.randomPKCECodeVerifier();
const state = client.randomState();
const nonce = client.randomNonce();
const parameters = {
  redirect_uri: settings.redirect_uri,
  scope: settings.scope ?? "openid profile email",
  code_challenge: await client.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  state,
  nonce,
  max_age: "3600",
};
if (settings.response_mode !== "query") {
  parameters.response_mode = settings.response_mode;
}
// The request as it is, as a signed request object (JAR), pushed (PAR), or the object pushed.
let authorization = settings.request_object
  ? await client.buildAuthorizationUrlWithJAR(config, parameters, await signingKey(settings.private_key))
  : client.buildAuthorizationUrl(config, parameters);
if (settings.dpop) {
  authorization = await client.buildAuthorizationUrlWithPAR(config, authorization.searchParams, options);
}
write({ url: authorization.href });

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
}, undefined, options);
const claims = tokens.claims();

// What comes of a refresh token: new tokens, their worth, and nothing any more once it is revoked.
async function goOn() {
  const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, options);
  const confidential = settings.authentication !== "none";
  const answer = {
    rotates: refreshed.refresh_token !== tokens.refresh_token,
    claims: refreshed.claims(),
    userinfo: await client.fetchUserInfo(config, refreshed.access_token, claims.sub, options),
  };
  if (confidential) {
    answer.active = (await client.tokenIntrospection(config, refreshed.access_token)).active;
    const own = await client.clientCredentialsGrant(config, undefined, options);
    answer.own = await client.tokenIntrospection(config, own.access_token);
  }
  await client.tokenRevocation(config, refreshed.refresh_token);
  answer.afterwards = await client
    .refreshTokenGrant(config, refreshed.refresh_token, undefined, options)
    .then(() => "tokens", (error) => error.error);
  return answer;
}

write({
  metadata: config.serverMetadata().issuer,
  header: JSON.parse(Buffer.from(tokens.id_token.split(".")[0], "base64url").toString()),
  claims,
  type: tokens.token_type,
  userinfo: await client.fetchUserInfo(config, tokens.access_token, claims.sub, options),
  offline: tokens.refresh_token === undefined ? null : await goOn(),
  logout: client.buildEndSessionUrl(config, {
    id_token_hint: tokens.id_token,
    post_logout_redirect_uri: settings.after_logout_uri,
    state: "bye",
  }).href,
});
