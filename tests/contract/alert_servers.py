"""Real servers on this machine that alerts are sent to: one for HTTP, one for SMTP with TLS. Each keeps what it got."""

from __future__ import annotations

import base64
import datetime
import http.server
import ipaddress
import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PASSWORD = "secret-42"


@dataclass
class Got:
    """What a server was told, and how it is to answer: `codes` are used up one after the other, then it agrees."""

    port: int = 0
    codes: list[int] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    requests: int = 0
    logins: list[tuple[str, str]] = field(default_factory=list)
    in_the_clear: bool = False  # whether a mail came over a connection that nobody had secured


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def web(*codes: int) -> Iterator[Got]:
    """An HTTP server that answers POST with these codes, then with 204."""
    got = Got(codes=list(codes))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.requests += 1
            got.headers.append({name.lower(): value for name, value in self.headers.items()})
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            code = got.codes.pop(0) if got.codes else 204
            if code < 300:
                got.bodies.append(body)
            self.send_response(code)
            if 300 <= code < 400:
                self.send_header("Location", f"http://127.0.0.1:{got.port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    got.port = server.server_address[1]
    with serving(server):
        yield got


def certificate(folder: Path) -> Path:
    """A certificate and its key for localhost, made now, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "localhost.pem"
    encoding = serialization.Encoding.PEM
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(made.public_bytes(encoding) + secret)
    return file


@contextmanager
def mail(pem: Path, *codes: int, security: str = "starttls") -> Iterator[Got]:
    """An SMTP server with STARTTLS (or TLS), whose password is PASSWORD. `codes` answer the recipients."""
    got = Got(codes=list(codes))
    secured = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    secured.load_cert_chain(pem)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            sock, self.safe = self.request, security == "tls"
            got.requests += 1
            if self.safe:
                sock = secured.wrap_socket(sock, server_side=True)
            file = sock.makefile("rwb")
            self.say(file, "220 test ESMTP")
            while line := file.readline():
                verb, _, rest = line.decode().strip().partition(" ")
                if verb.upper() == "STARTTLS":
                    self.say(file, "220 go ahead")
                    self.safe = True
                    file = secured.wrap_socket(sock, server_side=True).makefile("rwb")
                elif verb.upper() == "QUIT":
                    self.say(file, "221 bye")
                    return
                else:
                    self.answer(file, verb.upper(), rest)

        def answer(self, file: Any, verb: str, rest: str) -> None:
            if verb == "EHLO":
                offered = ["250-test", "250-AUTH PLAIN" if self.safe else "250-STARTTLS", "250 OK"]
                self.say(file, "\r\n".join(offered if security != "none" else ["250-test", "250 OK"]))
            elif verb == "AUTH":
                user, said = base64.b64decode(rest.split()[1]).decode().split("\0")[1:]
                got.logins.append((user, said))
                self.say(file, "235 welcome" if said == PASSWORD else f"535 {said} is wrong")
            elif verb == "RCPT":
                code = got.codes.pop(0) if got.codes else 250
                self.say(file, f"{code} said")
            elif verb == "DATA":
                self.say(file, "354 go on")
                lines = []
                while (line := file.readline()) != b".\r\n":
                    lines.append(line)
                got.in_the_clear = got.in_the_clear or not self.safe
                got.bodies.append(b"".join(lines))
                self.say(file, "250 taken")
            else:
                self.say(file, "250 OK")

        def say(self, file: Any, text: str) -> None:
            file.write(text.encode() + b"\r\n")
            file.flush()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:  # a client that trusts us not says so and goes
            pass

    server = Server(("127.0.0.1", 0), Handler)
    got.port = server.server_address[1]
    with serving(server):
        yield got
