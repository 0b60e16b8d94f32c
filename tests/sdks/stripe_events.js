// Signs and reads Stripe's events, and asks an API, with Stripe's official SDK for Node.
//
// The same lines as stripe_events.py.
"use strict";

const readline = require("node:readline");
const Stripe = require("stripe");

const stripe = new Stripe("sk_test_unused");

function sign({ sign: payload, secret, at }) {
  return { header: stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp: at }) };
}

function read({ read: payload, header, secret }) {
  try {
    const event = stripe.webhooks.constructEvent(payload, header, secret);
    return { type: event.type, id: event.id, object: event.data.object.id };
  } catch (error) {
    return { error: error.constructor.name };
  }
}

async function pay({ pay: amount, base, key, version: apiVersion }) {
  const { hostname, port } = new URL(base);
  const client = new Stripe(key, {
    host: hostname,
    port,
    protocol: "http",
    maxNetworkRetries: 0,
    apiVersion,
  });
  const customer = await client.customers.create({ metadata: { asked_by: "node" } });
  const intent = await client.paymentIntents.create(
    { amount, currency: "usd", customer: customer.id, payment_method_types: ["card"] },
    { idempotencyKey: "node-1" },
  );
  const listed = [];
  for await (const found of client.paymentIntents.list({ customer: customer.id })) {
    listed.push(found.id);
  }
  let missing = null;
  try {
    await client.paymentIntents.retrieve("pi_missing");
  } catch (error) {
    missing = error.code;
  }
  return { payment: intent.id, status: intent.status, listed, missing };
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    const answer = "sign" in request ? sign : "read" in request ? read : pay;
    console.log(JSON.stringify(await answer(request)));
  }
}

main();
