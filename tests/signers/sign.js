// Signs requests by Twilio's official SDK for Node.
//
// Each line of standard input is a request: {"url", "token", "form": [[key, value], ...]} or
// {"url", "token", "json": text}. Each line of standard output: {"url", "signature"}.
"use strict";

const readline = require("node:readline");
const { getExpectedBodyHash, getExpectedTwilioSignature } = require("twilio/lib/webhooks/webhooks");

function sign({ url, token, form = [], json }) {
  if (json !== undefined) {
    url += (url.includes("?") ? "&" : "?") + "bodySHA256=" + getExpectedBodyHash(json);
  }
  const parameters = {};
  for (const [key, value] of form) {
    parameters[key] = key in parameters ? [parameters[key], value].flat() : value;
  }
  return { url, signature: getExpectedTwilioSignature(token, url, parameters) };
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  console.log(JSON.stringify(sign(JSON.parse(line))));
});
