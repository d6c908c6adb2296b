"""Who we are to a cloud that takes no fixed token; the home of botocore and of google-auth.

AWS wants each request signed (Signature Version 4), Google an OAuth token that ends within the
hour. Both packages are optional extras, `penumbra-node[aws]` and `penumbra-node[google]`. They
find credentials where the cloud's own tools do, and they wait for servers: always in a thread.
"""

import asyncio
import contextlib
import functools
import importlib.util
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, Literal, Protocol, TypeVar, cast

from ai.trouble import Trouble, Troubled
from dicom.errors import ConfigFault

Kind = Literal["aws", "google"]

SERVICE: Final = "sagemaker"
"""The service of AWS that requests are signed for."""
SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
"""What a token of Google's opens, as far as the account's own rights go."""
TOKEN_WITHIN_S: Final = 5.0
"""So long a server of tokens may be silent."""

_PACKAGES: Final[Mapping[Kind, tuple[str, ...]]] = {
    "aws": ("botocore",),
    "google": ("google.auth", "requests"),
}
_SIGNED: Final = frozenset({"host", "content-type"})
"""Beside x-amz-*; what a proxy on the way may change stays unsigned."""
_CODE: Final = re.compile(r"[a-z_]{1,40}")
_SET_AWS: Final = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, for the node's process, or"
    " give this machine a role"
)
_SET_GOOGLE: Final = (
    "set GOOGLE_APPLICATION_CREDENTIALS to a service account's key file for the node's process, or"
    " give this machine a service account"
)

Made = TypeVar("Made")


class Identity(Protocol):
    """Whoever says in a request's headers who asks. Belongs to one event loop."""

    async def headers(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, str]:
        """Give the headers to add to a request that is otherwise whole.

        Raises Troubled, with words that name what to set, where no credentials are to be had.
        """

    def forget(self) -> None:
        """Look for credentials anew: a server did not take these."""


def missing(kind: Kind) -> str:
    """Say in words which extra is not installed; "" where it is."""
    if all(map(_is_there, _PACKAGES[kind])):
        return ""
    return f'"{kind}" needs an extra: pip install "penumbra-node[{kind}]"'


def of(kind: Kind, region: str, address: str) -> Identity:
    """Make the identity with which an address is called; the region is AWS's alone.

    Raises ConfigFault without its extra.
    """
    if words := missing(kind):
        raise ConfigFault([("identity", words)])
    return Aws(region, address) if kind == "aws" else Google(address)


class Aws:
    """Requests signed by Signature Version 4, with credentials of botocore's chain."""

    def __init__(self, region: str, address: str) -> None:
        self._region = region
        self._address = address
        self._credentials: Any = None
        self._freezing = _Once(self._frozen)

    async def headers(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, str]:
        """Sign a request: its method, path, host, type, x-amz-* and body. See Identity."""
        frozen = await self._freezing.get()
        sign = functools.partial(self._signed, frozen, method, url, headers, body)
        return await asyncio.to_thread(sign)

    def forget(self) -> None:
        """Read environment and files anew for the next request."""
        self._credentials = None

    def _frozen(self) -> Any:
        """Find credentials, or ask for new ones as they near their end: it may ask a server."""
        from botocore.session import Session

        try:
            credentials = self._credentials or Session().get_credentials()
            frozen = credentials.get_frozen_credentials() if credentials else None
        except Exception as fault:  # noqa: BLE001  (others wrote what is read: anything may come)
            raise self._fault(type(fault).__name__) from None  # its words may quote a file
        if frozen is None:
            raise self._fault("none found")
        self._credentials = credentials
        return frozen

    def _signed(
        self, frozen: Any, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, str]:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        kept = {
            name: value
            for name, value in headers.items()
            if name.lower() in _SIGNED or name.lower().startswith("x-amz")
        }
        request = AWSRequest(method=method, url=url, headers=kept, data=body)
        try:
            SigV4Auth(frozen, SERVICE, self._region).add_auth(request)
        except Exception as fault:  # noqa: BLE001  (as above: a key that is none)
            raise self._fault(type(fault).__name__) from None
        return dict(request.headers.items())

    def _fault(self, why: str) -> Troubled:
        words = f"{self._address}: no AWS credentials ({why}): {_SET_AWS}"
        return Troubled(words, Trouble.AWAY)


class Google:
    """A token by application default credentials, shared by all calls to one address.

    A token in its last minutes is renewed beside the calls, which go on with it; one that has
    ended is waited for.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._credentials: Any = None
        self._renewing = _Once(self._renewed)

    async def headers(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, str]:
        """Give the token, and the project that pays where the credentials name one. See Identity.

        The token is the same whatever is asked.
        """
        del method, url, headers, body
        credentials = self._credentials
        state = "INVALID" if credentials is None else credentials.token_state.name
        if state == "STALE":
            self._renewing.start()
        elif state != "FRESH":
            credentials = await self._renewing.get()
        told: dict[str, str] = {}
        credentials.apply(told)
        return told

    def forget(self) -> None:
        """Read the credentials anew, and ask for another token, for the next request."""
        self._credentials = None

    def _renewed(self) -> Any:
        import google.auth
        from google.auth.transport.requests import Request

        request: Any = functools.partial(Request(), timeout=TOKEN_WITHIN_S)
        credentials = self._credentials
        try:
            if credentials is None:
                credentials, _ = google.auth.default(scopes=[SCOPE], request=request)
            credentials.refresh(request)
        except Exception as fault:  # noqa: BLE001  (others wrote what is read: anything may come)
            words = f"{self._address}: no Google token ({_code(fault)}): {_SET_GOOGLE}"
            raise Troubled(words, Trouble.AWAY) from None  # its words may quote a file or a server
        self._credentials = credentials
        return credentials


class _Once(Generic[Made]):
    """Something slow that a thread makes, once at a time, for all who wait for it."""

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._task: asyncio.Task[Made] | None = None

    def start(self) -> "asyncio.Task[Made]":
        """Begin, unless it is under way."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(_in_thread(self._make))
            self._task.add_done_callback(_hear)
        return self._task

    async def get(self) -> Made:
        """Wait for it; who gives up leaves it to the others. Raises what `make` raises."""
        task = self.start()
        await asyncio.wait({task})
        return task.result()


async def _in_thread(make: Callable[[], Made]) -> Made:
    """Call something in a thread that nobody waits for at the end, unlike those of asyncio."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Made] = loop.create_future()

    def settle(made: Made | None, fault: BaseException | None) -> None:
        if done.cancelled():
            return
        if fault is None:
            done.set_result(cast("Made", made))
        else:
            done.set_exception(fault)

    def call() -> None:
        made: Made | None = None
        fault: BaseException | None = None
        try:
            made = make()
        except Exception as raised:  # noqa: BLE001  (whoever waits is told)
            fault = raised
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, made, fault)

    threading.Thread(target=call, name="identity", daemon=True).start()
    return await done


def _hear(task: "asyncio.Task[Any]") -> None:
    """Take a fault that nobody waits for any more: the next call meets it again."""
    if not task.cancelled():
        task.exception()


def _is_there(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # not even what stands before the dot
        return False


def _code(fault: Exception) -> str:
    """Name a fault: the code of RFC 6749 5.2 where a server gave one, else its kind."""
    for said in fault.args:
        code = said.get("error") if isinstance(said, Mapping) else None
        if isinstance(code, str) and _CODE.fullmatch(code):
            return code
    return type(fault).__name__
