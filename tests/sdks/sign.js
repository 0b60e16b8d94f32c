// Signs and checks requests with Twilio's official SDK for Node.
//
// Each line of standard input is a request: {"url", "secret", "algorithm", "form": [[key, value], ...]}
// or {"url", "secret", "algorithm", "json": text}. Each line of standard output: {"url", "signature"}.
//
// With "signature" and "settings", the header that names the shared key, in the request: {"valid"}.
"use strict";

const readline = require("node:readline");
const {
  getExpectedBodyHash,
  getExpectedTwilioSignature,
  getSignatureAlgorithm,
  validateRequest,
  validateRequestWithBody,
} = require("twilio/lib/webhooks/webhooks");

// It warns about each algorithm that it does not know.
console.warn = () => {};

function formOf({ form = [] }) {
  const parameters = {};
  for (const [key, value] of form) {
    parameters[key] = key in parameters ? [parameters[key], value].flat() : value;
  }
  return parameters;
}

function sign(request) {
  let { url, secret, algorithm, json } = request;
  if (json !== undefined) {
    url += (url.includes("?") ? "&" : "?") + "bodySHA256=" + getExpectedBodyHash(json);
  }
  const signature = getExpectedTwilioSignature(secret, url, formOf(request), algorithm);
  return { url, signature };
}

function check(request) {
  const { url, secret, json, signature, settings } = request;
  const algorithm = getSignatureAlgorithm(settings);
  const valid =
    json === undefined
      ? validateRequest(secret, signature, url, formOf(request), algorithm)
      : validateRequestWithBody(secret, signature, url, json, algorithm);
  return { valid };
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const request = JSON.parse(line);
  console.log(JSON.stringify("settings" in request ? check(request) : sign(request)));
});
