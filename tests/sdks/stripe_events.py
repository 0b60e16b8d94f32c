"""Signs and reads Stripe's events, and asks an API, with Stripe's official SDK for Python.

Each line of standard input is a request, each line of standard output its answer:
{"sign": text, "secret", "at"} gives {"header"}; {"read": text, "header", "secret"} gives {"type", "id",
"object"} or {"error"}; {"pay": cents, "base", "key", "version"} makes a customer and a payment at another base, and
gives {"payment", "status", "listed", "missing"}.
"""

import json
import sys

import stripe
from stripe import StripeClient, Webhook, WebhookSignature


def sign(request):
    at = request["at"]
    signature = WebhookSignature._compute_signature(f"{at}.{request['sign']}", request["secret"])
    return {"header": f"t={at},v1={signature}"}


def read(request):
    try:
        event = Webhook.construct_event(request["read"], request["header"], request["secret"])
    except (ValueError, stripe.SignatureVerificationError) as error:
        return {"error": type(error).__name__}
    return {"type": event.type, "id": event.id, "object": event.data.object["id"]}


def pay(request):
    client = StripeClient(
        request["key"],
        base_addresses={"api": request["base"]},
        max_network_retries=0,
        stripe_version=request["version"],
    )
    customer = client.v1.customers.create({"metadata": {"asked_by": "python"}})
    intent = client.v1.payment_intents.create(
        {
            "amount": request["pay"],
            "currency": "usd",
            "customer": customer.id,
            "payment_method_types": ["card"],
        },
        {"idempotency_key": "python-1"},
    )
    listed = client.v1.payment_intents.list({"customer": customer.id})
    try:
        client.v1.payment_intents.retrieve("pi_missing")
        missing = None
    except stripe.InvalidRequestError as error:
        missing = error.code
    ids = [found.id for found in listed.auto_paging_iter()]
    return {"payment": intent.id, "status": intent.status, "listed": ids, "missing": missing}


for line in sys.stdin:
    request = json.loads(line)
    answer = sign if "sign" in request else read if "read" in request else pay
    print(json.dumps(answer(request)), flush=True)
