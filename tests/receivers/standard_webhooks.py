"""Checks web hooks with the official library of Standard Webhooks for Python.

Each line of standard input is a request: {"secret", "headers", "body"}. Each line of standard output:
{"valid"}.
"""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

for line in sys.stdin:
    request = json.loads(line)
    try:
        Webhook(request["secret"]).verify(request["body"], request["headers"])
        valid = True
    except WebhookVerificationError:
        valid = False
    print(json.dumps({"valid": valid}), flush=True)
