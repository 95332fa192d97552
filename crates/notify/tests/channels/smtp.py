"""A mail server for the tests: aiosmtpd with a login, refusals, and TLS as asked.

Says the port it took, then every mail as a line of JSON, read by Python's own parser.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


def say(value):
    print(json.dumps(value), flush=True)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("busy"):
            return "451 4.2.1 mailbox is busy"
        if address.startswith("gone"):
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = list(message.walk())
        defects = [str(d) for part in parts for d in part.defects]
        for part in parts:
            for value in part.values():
                defects += [str(d) for d in getattr(value, "defects", ())]
        say(
            {
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "encrypted": session.ssl is not None,
                "login": session.authenticated,
                "headers": {name: str(value) for name, value in message.items()},
                "text": message.get_body(("plain",)).get_content(),
                "html": message.get_body(("html",)).get_content(),
                "types": [part.get_content_type() for part in parts],
                "defects": defects,
                "line": max(len(line) for line in envelope.content.split(b"\r\n")),
            }
        )
        return "250 2.0.0 Ok: queued as 4F2A"


def authenticate(server, session, envelope, mechanism, data):
    ok = isinstance(data, LoginPassword) and (data.login, data.password) == (b"vedette", b"hush")
    return AuthResult(success=ok, handled=ok)


async def main(mode, cert, key):
    context = None
    if mode != "none":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)

    def server():
        return SMTP(
            Handler(),
            hostname="mail.test",
            tls_context=context if mode == "starttls" else None,
            require_starttls=mode == "starttls",
            authenticator=authenticate,
            auth_required=mode != "none",
            # To aiosmtpd only STARTTLS counts as encrypted.
            auth_require_tls=mode == "starttls",
        )

    loop = asyncio.get_running_loop()
    wrapped = context if mode == "tls" else None
    listener = await loop.create_server(server, "127.0.0.1", 0, ssl=wrapped)
    say(listener.sockets[0].getsockname()[1])
    await listener.serve_forever()


asyncio.run(main(*sys.argv[1:]))
