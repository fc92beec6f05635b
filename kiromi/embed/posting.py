"""One POST over HTTP, with a limit on its time, and how long to wait before the next try.

Every status is an answer, and a redirect is followed nowhere: what the request carries goes to the named host only.
Proxies are taken from the environment, as Python's library does. Leaves retrying to its users.
"""

import random
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from urllib.error import URLError
from urllib.parse import urlsplit

from kiromi.errors import InvalidInput

FAILURES = (OSError, HTTPException)
"""What :func:`post` raises when there is no whole answer."""
_LONGEST_PAUSE_S = 60.0
_LONGEST_BACK_OFF_S = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def check_url(name: str, url: str) -> None:
    """Check that an argument is the address of a server, without secrets.

    Raises:
        InvalidInput: it is not http or https, or it holds a user name, a password or a query. What it holds is not in
            the message.
    """
    accepted = "accepted: an address such as 'https://api.openai.com/v1', of printable ASCII"
    try:
        parts = urlsplit(url)
        has_host = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except (ValueError, AttributeError, TypeError):
        raise InvalidInput(f"{name} is not the address of a server; {accepted}") from None
    if not has_host or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidInput(f"{name} is not the address of a server; {accepted}")
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise InvalidInput(
            f"{name} for the host {parts.hostname} holds a user name, a query or a fragment, which would be stored;"
            f" {accepted}; the key comes from the environment"
        )


def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> Answer:
    """Send bytes and return the answer, whatever its status.

    Args:
        url: http or https.
        body: what is sent.
        headers: beside those of HTTP itself.
        timeout_s: seconds for each wait (to connect, for the first byte, for the next), and for all of it to its end.

    Raises:
        OSError: no connection, it broke off, or the time is over (``TimeoutError``).
        HTTPException: the answer is not HTTP.
    """
    deadline = time.monotonic() + timeout_s
    opener = urllib.request.OpenerDirector()  # without the handlers that follow redirects and raise for a status
    for handler in (urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
        opener.add_handler(handler())
    request = urllib.request.Request(url, body, dict(headers), method="POST")  # noqa: S310  # check_url has seen it
    try:
        with opener.open(request, timeout=timeout_s) as response:
            return Answer(response.status, response.headers, _read(response, deadline))
    except URLError as error:
        raise error.reason if isinstance(error.reason, OSError) else error from None


def _read(response: HTTPResponse, deadline: float) -> bytes:
    chunks = []
    while chunk := response.read1(1 << 16):
        chunks.append(chunk)
        if time.monotonic() > deadline:
            raise TimeoutError("the answer takes too long")
    if response.length:
        raise ConnectionError(f"the answer broke off with {response.length} bytes missing")
    return b"".join(chunks)


def pause_s(failures: int, retry_after: str | None) -> float:
    """Return how many seconds to wait before the next try.

    Args:
        failures: how many tries have failed, from 1.
        retry_after: what the server's header says, in seconds or as a date (RFC 9110, 10.2.3); up to a minute it is
            followed. Without it the pause doubles from half a second to 20 seconds, less up to a half by chance, so
            that clients that failed together do not come back together.
    """
    asked = _seconds(retry_after) if retry_after is not None else None
    if asked is not None:
        return min(max(asked, 0.0), _LONGEST_PAUSE_S)
    longest = min(0.5 * 2.0 ** min(failures - 1, 10), _LONGEST_BACK_OFF_S)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  # no secret


def _seconds(retry_after: str) -> float | None:
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime.now(UTC)).total_seconds()
