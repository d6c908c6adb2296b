"""A real browser without a window: Debian's Chromium, driven by its DevTools over a pipe."""

import base64
import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from examples.peers.process import debian

_FLAGS = (
    "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--no-proxy-server", "--password-store=basic",
    # No machine that runs tests need have a graphics card.
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
    "--window-size=1280,900", "--hide-scrollbars",
)  # fmt: skip


def binary() -> str | None:
    """Find Chromium where Debian puts it."""
    return debian("chromium")


@dataclass
class Page:
    """One page, and what it asked for and said."""

    _to: int
    _from: int
    _log: Path
    user: tuple[str, str] | None = None
    """The name and password for whoever asks for them, as a person would type them."""
    session: str = ""
    asked: list[str] = field(default_factory=list)
    """URLs, in order."""
    refused: list[str] = field(default_factory=list)
    """URLs that were answered with 400 or more, each with its status."""
    said: list[str] = field(default_factory=list)
    """What its scripts wrote to the console, and exceptions that nobody caught."""
    prompts: int = 0
    """How often a password was asked for."""
    _last: int = 0
    _rest: bytes = b""

    def open(self, url: str) -> None:
        """Go to a URL."""
        self.call("Page.navigate", url=url)

    def evaluate(self, script: str) -> Any:
        """Give the value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True,
                          awaitPromise=True)  # fmt: skip
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"].get("text")))
        return found["result"].get("value")

    def wait_for(self, script: str, timeout_s: float) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + timeout_s
        while not self._is_true(script):
            if time.monotonic() > deadline:
                self.picture(self._log.with_suffix(".png"))
                raise TimeoutError(f"{script} took longer than {timeout_s:g} s; {self.said[-5:]}")
            self._hear(time.monotonic() + 0.1)

    def _is_true(self, script: str) -> bool:
        try:
            return bool(self.evaluate(script))
        except RuntimeError:  # the page has no body yet, or is just going
            return False

    def picture(self, path: Path) -> bytes:
        """Take a screenshot as PNG."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        path.write_bytes(data)
        return data

    def call(self, method: str, **parameters: Any) -> Any:
        """Ask for one thing, and wait for its answer; events are noted meanwhile."""
        number = self._send(method, parameters)
        deadline = time.monotonic() + 60
        while True:
            for message in self._hear(deadline):
                if message.get("id") == number:
                    if "error" in message:
                        raise RuntimeError(f"{method}: {message['error']}")
                    return message["result"]
            if time.monotonic() > deadline:
                raise TimeoutError(f"{method} was not answered")

    def _send(self, method: str, parameters: dict[str, Any]) -> int:
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        return self._last

    def _hear(self, deadline: float) -> list[dict[str, Any]]:
        """Read what there is, waiting at most until a moment; events are dealt with."""
        ready, _, _ = select.select([self._from], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            return []
        came = os.read(self._from, 1 << 20)
        if not came:
            raise RuntimeError(f"the browser ended; {self._log.read_text()[-500:]}")
        *whole, self._rest = (self._rest + came).split(b"\0")
        messages = [json.loads(one) for one in whole]
        for one in messages:
            self._note(one.get("method", ""), one.get("params", {}))
        return messages

    def _note(self, method: str, told: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.asked.append(told["request"]["url"])
        elif method == "Network.responseReceived" and told["response"]["status"] >= 400:
            self.refused.append(f"{told['response']['status']} {told['response']['url']}")
        elif method == "Runtime.consoleAPICalled":
            self.said.append(" ".join(str(one.get("value", "")) for one in told["args"]))
        elif method == "Runtime.exceptionThrown":
            self.said.append(json.dumps(told["exceptionDetails"])[:500])
        elif method == "Fetch.requestPaused":
            self._send("Fetch.continueRequest", {"requestId": told["requestId"]})
        elif method == "Fetch.authRequired":
            self.prompts += 1
            answer: dict[str, str] = {"response": "CancelAuth"}
            if self.user is not None:
                name, password = self.user
                answer = {"response": "ProvideCredentials", "username": name, "password": password}
            request = {"requestId": told["requestId"], "authChallengeResponse": answer}
            self._send("Fetch.continueWithAuth", request)


@contextlib.contextmanager
def page(directory: Path, user: tuple[str, str] | None = None) -> Iterator[Page]:
    """Run a browser with one empty page until the block ends."""
    found = binary()
    if found is None:
        raise FileNotFoundError("Chromium is not installed (Debian: apt-get install chromium)")
    directory.mkdir(parents=True, exist_ok=True)
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    log = directory / "chromium.log"
    # The pipe is expected at descriptors 3 and 4.
    command = f'exec "$@" 3<&{to_read} 4>&{from_write}'
    with log.open("wb") as sink:
        child = subprocess.Popen(
            ["/bin/bash", "-c", command, "sh", found, *_FLAGS,
             f"--user-data-dir={directory / 'profile'}", "about:blank"],
            pass_fds=(to_read, from_write), stdout=sink, stderr=sink, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    os.close(to_read)
    os.close(from_write)
    try:
        yield _attached(Page(to_write, from_read, log, user))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait(10)
        os.close(to_write)
        os.close(from_read)


def _attached(one: Page) -> Page:
    targets = one.call("Target.getTargets")["targetInfos"]
    target = next(each["targetId"] for each in targets if each["type"] == "page")
    one.session = one.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Network", "Runtime"):
        one.call(f"{domain}.enable")
    one.call("Fetch.enable", handleAuthRequests=True)
    return one
