"""Call a DICOMweb server: who we are to it, and what goes wrong as a Fault; the home of httpx."""

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote, urlsplit

import httpx

from config import certificates
from config.client_checks import is_loopback
from config.destinations import Auth, BasicAuth, BearerAuth, OAuth2, StowDestination
from config.shapes import ClientTls, Secret
from dicom.errors import Busy, Refused, Unreachable

CONNECT_S: Final = 10.0
MOST_BYTES: Final = 64 << 20
"""No answer to us is longer, but for an object that is read back, which is not kept."""
_SHORTEST_TOKEN_S: Final = 300.0
"""How long a token is believed whose server does not say how long it lasts."""

ReadSecret = Callable[[Secret], bytes]
Body = Callable[[], Iterator[bytes]]
"""Makes what is sent, from its beginning each time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    content_type: str
    body: bytes


class Web:
    """One server; its connections are kept until `close`."""

    def __init__(self, settings: StowDestination, read_secret: ReadSecret) -> None:
        self.url = settings.url.rstrip("/")
        tls = settings.tls or ClientTls()
        self._extensions = {"sni_hostname": tls.name} if tls.name else {}
        self._client = httpx.Client(
            verify=certificates.client(tls),
            timeout=httpx.Timeout(settings.timeout_s, connect=min(CONNECT_S, settings.timeout_s)),
            trust_env=not is_loopback(urlsplit(self.url)),
            follow_redirects=False,  # objects go where the config says, nowhere else
        )
        self._basic = _basic(settings.auth, read_secret)
        self._bearer = _bearer(settings.auth, read_secret)
        self._token = _token(settings, read_secret)

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Body | None = None,
        size_bytes: int = 0,
    ) -> Answer:
        """Send a request and read the whole answer, whatever its status.

        Raises Unreachable where there is none, Busy where the server wants patience (429, 503),
        Refused where it does not know us (401, 403), or is not to be trusted.
        """
        with self.stream(method, path, headers, body, size_bytes) as answer:
            return Answer(answer.status_code, _content_type(answer), _limited(answer))

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Body | None = None,
        size_bytes: int = 0,
    ) -> Iterator[httpx.Response]:
        """Send a request, for a block that reads the answer; raises what `ask` does."""
        with _faults(self.url):
            answer = self._sent(method, path, headers, body, size_bytes)
            if answer.status_code == httpx.codes.UNAUTHORIZED and self._token is not None:
                answer.close()
                self._token.forget()  # it may have been withdrawn before its end
                answer = self._sent(method, path, headers, body, size_bytes)
            try:
                _require_welcome(answer, self.url)
                yield answer
            finally:
                answer.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        if self._token is not None:
            self._token.close()

    def _sent(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Body | None,
        size_bytes: int,
    ) -> httpx.Response:
        ours = dict(headers)
        if body is not None:
            ours["Content-Length"] = str(size_bytes)
        if bearer := self._bearer if self._token is None else self._token.current():
            ours["Authorization"] = f"Bearer {bearer}"
        request = self._client.build_request(
            method, self.url + path, headers=ours, content=None if body is None else body(),
            extensions=self._extensions,
        )  # fmt: skip
        return self._client.send(request, stream=True, auth=self._basic)


class _Token:
    """An access token of OAuth2 client credentials (RFC 6749 4.4)."""

    def __init__(self, settings: OAuth2, tls: ClientTls, timeout_s: float, secret: bytes) -> None:
        self._settings = settings
        # Often a server of somebody else: the operating system's authorities count for it too.
        context = certificates.client(ClientTls())
        if tls.ca is not None:
            context.load_verify_locations(tls.ca)
        self._client = httpx.Client(
            verify=context,
            timeout=timeout_s,
            trust_env=not is_loopback(urlsplit(settings.token_url)),
        )
        # RFC 6749 2.3.1: encoded before they are joined, since both may hold any character.
        pair = (quote(settings.client_id, ""), quote(secret.decode("utf-8", "replace"), ""))
        self._auth = httpx.BasicAuth(*pair)
        self._value = ""
        self._good_until = 0.0

    def current(self) -> str:
        """Give a token that will last a while. Raises Refused, Busy or Unreachable."""
        if not self._value or time.monotonic() >= self._good_until:
            self._value, lasts_s = self._ask()
            self._good_until = time.monotonic() + lasts_s - min(60.0, lasts_s / 5)
        return self._value

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def forget(self) -> None:
        """Ask anew the next time."""
        self._value = ""

    def _ask(self) -> tuple[str, float]:
        url = self._settings.token_url
        form = {"grant_type": "client_credentials"}
        if self._settings.scope is not None:
            form["scope"] = self._settings.scope
        with _faults(url):
            answer = self._client.post(url, data=form, auth=self._auth)
        _require_patience(answer, url)
        found = _fields(answer)
        if not answer.is_success or not isinstance(found.get("access_token"), str):
            code = found.get("error")
            words = code if isinstance(code, str) and code.isidentifier() else "no token"
            raise Refused(f"{url} answered {answer.status_code}, {words}: see client_id and secret")
        lasts = found.get("expires_in", _SHORTEST_TOKEN_S)
        return str(found["access_token"]), float(lasts if isinstance(lasts, (int, float)) else 0)


def _fields(answer: httpx.Response) -> dict[str, object]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _basic(auth: Auth | None, read_secret: ReadSecret) -> httpx.BasicAuth | None:
    if not isinstance(auth, BasicAuth):
        return None
    return httpx.BasicAuth(auth.user, read_secret(auth.password))


def _bearer(auth: Auth | None, read_secret: ReadSecret) -> str:
    if not isinstance(auth, BearerAuth):
        return ""
    try:
        return read_secret(auth.token).strip().decode("ascii")
    except UnicodeDecodeError:
        raise Refused("the token of `auth` is no text in ASCII") from None


def _token(settings: StowDestination, read_secret: ReadSecret) -> _Token | None:
    auth = settings.auth
    if not isinstance(auth, OAuth2):
        return None
    secret = read_secret(auth.client_secret)
    return _Token(auth, settings.tls or ClientTls(), settings.timeout_s, secret)


def _require_welcome(answer: httpx.Response, url: str) -> None:
    """Raise for answers that are about us or the server, not about what was sent."""
    _require_patience(answer, url)
    status = answer.status_code
    if status in {401, 403, 407}:
        raise Refused(f"{url} answered {status}: see `auth` of the destination")
    if answer.is_redirect:
        raise Refused(f"{url} answered {status}, a redirect: put the final address into `url`")


def _require_patience(answer: httpx.Response, url: str) -> None:
    status = answer.status_code
    if status in {429, 503}:
        wait = _retry_after_s(answer.headers.get("Retry-After", ""), time.time())
        words = f", and asks to wait {wait:.0f} s" if wait else ""
        raise Busy(f"{url} answered {status}{words}")
    if status >= 500:
        raise Unreachable(f"{url} answered {status}")


def _retry_after_s(value: str, now: float) -> float:
    """Read Retry-After: seconds, or a date (RFC 9110 10.2.3); 0 for neither."""
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return 0.0


def _content_type(answer: httpx.Response) -> str:
    return str(answer.headers.get("Content-Type", ""))


def _limited(answer: httpx.Response) -> bytes:
    whole = bytearray()
    for part in answer.iter_bytes():
        whole += part
        if len(whole) > MOST_BYTES:
            raise Refused("the server's answer is longer than any that makes sense")
    return bytes(whole)


@contextmanager
def _faults(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as fault:
        raise Unreachable(f"{url} did not answer in time") from fault
    except httpx.HTTPError as fault:
        if (untrusted := _untrusted(fault)) is not None:
            raise Refused(
                f"{url}: its certificate is not trusted ({untrusted.verify_message}): see `tls`"
                " of the destination; nothing was sent"
            ) from fault
        raise Unreachable(f"{url} cannot be reached ({type(fault).__name__})") from fault
    except httpx.InvalidURL as fault:
        raise Refused(f"{url} is no address") from fault


def _untrusted(fault: BaseException | None) -> ssl.SSLCertVerificationError | None:
    while fault is not None:
        if isinstance(fault, ssl.SSLCertVerificationError):
            return fault
        fault = fault.__cause__ or fault.__context__
    return None
