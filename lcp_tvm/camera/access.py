"""Who may see the page and use it.

On a loopback address everybody of this machine may. On any other, a request must bring a token:
in the link that is printed, in the cookie that the first visit sets, or as ``Authorization:
Bearer``. On all, a foreign page in a browser of ours is kept out: by ``Origin``, and by ``Host``
where a foreign name was made to lead here (DNS rebinding).
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest

TOKEN_BYTES = 24
PARAMETER = "token"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused, and the HTTP status that says so."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use a page.

    Attributes
    ----------
    host, port : it listens there.
    token : that requests must bring; empty where none is needed.
    """

    host: str
    port: int
    token: str

    @classmethod
    def to(cls, host: str, port: int) -> Access:
        """Return the access to a page that listens on an address; with a new token if need be."""
        token = "" if _is_loopback(host) else secrets.token_urlsafe(TOKEN_BYTES)
        return cls(host, port, token)

    @property
    def link(self) -> str:
        """Where the page is, for a browser."""
        host = f"[{_reachable(self.host)}]" if ":" in self.host else _reachable(self.host)
        query = f"?{PARAMETER}={self.token}" if self.token else ""
        return f"http://{host}:{self.port}/{query}"

    @property
    def cookie(self) -> str:
        """Name of the cookie; browsers send a host's cookies to all of its ports."""
        return f"lcp_tvm_camera_{self.port}"

    def refusal(self, request: HTTPServerRequest) -> Refusal | None:
        """Say why a request is refused; None when it is not."""
        if not self._names_us(request.headers.get("Host", "")):
            return Refusal(403, "Host: another name than this machine's; open the printed link")
        origins = request.headers.get_list("Origin")
        if any(urlsplit(origin).netloc != request.headers["Host"] for origin in origins):
            return Refusal(403, "Origin: requests of other pages are refused")
        if self.token and not any(self._is_token(text) for text in self._tokens(request)):
            return Refusal(401, "open the link that lcp-tvm camera has printed; it has the token")
        return None

    def _names_us(self, host: str) -> bool:
        """Whether Host is an address or a name of this machine; no foreign name is either."""
        found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:]+)(:\d+)?", host)
        if not found:
            return False
        name = found[1].strip("[]").lower()
        own = socket.gethostname().lower()
        return name in {"localhost", self.host.lower(), own, f"{own}.local"} or _is_address(name)

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self.token.encode())

    def _tokens(self, request: HTTPServerRequest) -> list[str]:
        """Whatever a request brings as token."""
        cookie = request.cookies.get(self.cookie)
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        brought = [
            value.decode(errors="replace") for value in request.query_arguments.get(PARAMETER, [])
        ]
        brought += [cookie.value] if cookie else []
        return brought + ([bearer.strip()] if scheme.lower() == "bearer" else [])


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _reachable(host: str) -> str:
    """Return what others call this machine, where it listens on all its addresses."""
    if not _is_address(host) or not ipaddress.ip_address(host).is_unspecified:
        return host
    return socket.gethostname()
