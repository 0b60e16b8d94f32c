"""Signs requests by Twilio's official SDK for Python.

Each line of standard input is a request: {"url", "token", "form": [[key, value], ...]} or
{"url", "token", "json": text}. Each line of standard output: {"url", "signature"}.
"""

import json
import sys

from twilio.request_validator import RequestValidator


class Form(dict):
    """A form as web frameworks hand it to the SDK: several values for a key."""

    def getall(self, key):
        return self[key]


def sign(request):
    validator = RequestValidator(request["token"])
    url = request["url"]
    form = Form()
    if "json" in request:
        sign = "&" if "?" in url else "?"
        url += sign + "bodySHA256=" + validator.compute_hash(request["json"])
    for key, value in request.get("form", []):
        form.setdefault(key, []).append(value)
    return {"url": url, "signature": validator.compute_signature(url, form)}


for line in sys.stdin:
    print(json.dumps(sign(json.loads(line))), flush=True)
