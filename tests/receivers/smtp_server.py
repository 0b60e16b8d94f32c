"""A mail server for tests: takes every mail, and prints it as a line of JSON.

Arguments: port; then, for STARTTLS and a password, certificate, key, user and password. Prints "ready" first.
Each mail: {"from", "to", "headers": [[name, value], ...], "text", "html"}, as a mail program reads them.
"""

import email
import email.policy
import json
import ssl
import sys
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult


class Handler:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.original_content, policy=email.policy.default)
        text, html = (message.get_body((kind,)) for kind in ("plain", "html"))
        print(
            json.dumps({
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "headers": [[name, str(value)] for name, value in message.items()],
                "type": message.get_content_type(),
                "text": text.get_content() if text else None,
                "html": html.get_content() if html else None,
            }),
            flush=True,
        )
        return "250 OK"


port, *secured = sys.argv[1:]
options = {}
if secured:
    certificate, key, user, password = secured
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def authenticate(server, session, envelope, mechanism, data):
        is_right = (data.login, data.password) == (user.encode(), password.encode())
        return AuthResult(success=is_right)

    options = {
        "tls_context": context,
        "require_starttls": True,
        "auth_required": True,
        "authenticator": authenticate,
    }
Controller(Handler(), hostname="127.0.0.1", port=int(port), **options).start()
print("ready", flush=True)
threading.Event().wait()
