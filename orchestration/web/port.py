"""The server's port: taking it, and who has it where somebody else does."""

from __future__ import annotations

import errno
import http.client
import json
import socket

from assets.errors import EngineBusy

SECONDS = 2.0  # that whoever has the port may take to say who it is
_PAGE = b"<title>Twohands: ask</title>"
_MOST = 100_000  # bytes of what it says


class PortInUse(EngineBusy):
    """Somebody else listens there."""


def listening(host: str, port: int) -> socket.socket:
    """A bound socket; EngineBusy where it cannot be had, PortInUse where somebody has it."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
        except OSError:
            made.close()
            raise
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "is in use" if taken else f"cannot be listened on ({error.strerror or error})"
        raise (PortInUse if taken else EngineBusy)(
            f"{host}:{port} {why}", next_step="choose another one (--host, --port, or [serve] in twohands.toml)"
        ) from error
    made.set_inheritable(True)
    return made


def said(host: str, port: int, name: str = "") -> str:
    """What a Twohands server at a port says of itself (ok, degraded, failing); empty where it is none, or is silent.

    `name` is what it answers to, where that is another than its address.
    """
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host.strip("[]"), host.strip("[]"))  # noqa: S104
    headers = {"Host": name} if name else {}
    try:
        if _PAGE not in _read(address, port, "/", headers):
            return ""
        return str(json.loads(_read(address, port, "/healthz", headers))["status"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return ""


def _read(address: str, port: int, path: str, headers: dict[str, str]) -> bytes:
    connection = http.client.HTTPConnection(address, port, timeout=SECONDS)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().read(_MOST)
    finally:
        connection.close()
