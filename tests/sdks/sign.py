"""Signs and checks requests with Twilio's official SDK for Python.

Each line of standard input is a request: {"url", "secret", "algorithm", "form": [[key, value], ...]} or
{"url", "secret", "algorithm", "json": text}. Each line of standard output: {"url", "signature"}.

With "signature" and "settings", the header that names the shared key, in the request: {"valid"}.
"""

import json
import logging
import sys

from twilio.request_validator import RequestValidator, get_signature_algorithm

logging.disable(logging.WARNING)


class Form(dict):
    """A form as web frameworks pass it to the SDK: several values for a key."""

    def getall(self, key):
        return self[key]


def form_of(request):
    form = Form()
    for key, value in request.get("form", []):
        form.setdefault(key, []).append(value)
    return form


def sign(request):
    validator = RequestValidator(request["secret"])
    url = request["url"]
    if "json" in request:
        sign = "&" if "?" in url else "?"
        url += sign + "bodySHA256=" + validator.compute_hash(request["json"])
    signature = validator.compute_signature(url, form_of(request), request["algorithm"])
    return {"url": url, "signature": signature}


def check(request):
    validator = RequestValidator(request["secret"])
    parameters = request["json"] if "json" in request else form_of(request)
    algorithm = get_signature_algorithm(request["settings"])
    valid = validator.validate(request["url"], parameters, request["signature"], algorithm)
    return {"valid": valid}


for line in sys.stdin:
    request = json.loads(line)
    answer = check(request) if "settings" in request else sign(request)
    print(json.dumps(answer), flush=True)
