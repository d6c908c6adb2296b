"""Ask a running node over its control socket; the home of httpx."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote

import httpx

from dicom import errors
from dicom.errors import ConfigFault, Fault, NotAuthorised, ServiceFault, Unreachable
from node.unix_socket import short_name

SOCKET_NAME: Final = "control.sock"
"""The control socket's name in the data directory."""
_QUICK_S: Final = 10.0
_LONG_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to SQL, in values that JSON can say."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool


class ControlClient:
    """Talks to the node whose socket this is. Every method raises Unreachable when none runs.

    What the node answers as a fault is raised as the same Fault.
    """

    def __init__(self, socket_path: Path) -> None:
        self._path = socket_path

    def status(self) -> dict[str, Any]:
        """Ask what `penumbra status --json` prints."""
        return self._ask("GET", "/api/status", _QUICK_S)

    def sql(self, text: str, *, timeout_s: float = 30.0, max_rows: int = 1000) -> Answer:
        """Ask the index one SELECT. Raises CannotUnderstand, OutOfResources."""
        body = {"sql": text, "timeout_s": timeout_s, "max_rows": max_rows}
        told = self._ask("POST", "/api/sql", timeout_s + _QUICK_S, json=body)
        rows = tuple(tuple(row) for row in told["rows"])
        return Answer(tuple(told["columns"]), rows, bool(told["truncated"]))

    def reindex(self) -> dict[str, int | None]:
        """Have the node read its spool again into the index; "records" is None when it is done."""
        return self._ask("POST", "/api/reindex", _QUICK_S)

    def reindexed(self) -> dict[str, int | None]:
        """Ask how far it has come."""
        return self._ask("GET", "/api/reindex", _QUICK_S)

    def imaging_study(self, study_instance_uid: str) -> dict[str, Any] | None:
        """Ask for a Study as a FHIR ImagingStudy; None where the index has none."""
        path = f"/api/fhir/{quote(study_instance_uid, safe='')}"
        found: dict[str, Any] | None = self._ask("GET", path, _LONG_S)["resource"]
        return found

    def events(self, after: int, *, limit: int = 100, wait_s: float = 0.0) -> list[dict[str, Any]]:
        """Ask for events after an id, waiting up to `wait_s` until there are some."""
        query = {"after": after, "limit": limit, "wait_s": wait_s}
        found: list[dict[str, Any]]
        found = self._ask("GET", "/api/events", wait_s + _QUICK_S, params=query)["events"]
        return found

    def associations(
        self, *, limit: int = 20, caller: str = "", only_bad: bool = False, prefix: str = ""
    ) -> list[dict[str, Any]]:
        """Ask for the latest associations, or for those whose id begins so; oldest first."""
        query = {"limit": limit, "caller": caller, "bad": int(only_bad), "id": prefix}
        found: list[dict[str, Any]]
        found = self._ask("GET", "/api/associations", _QUICK_S, params=query)["associations"]
        return found

    def ask(self, wanted: Mapping[str, Any], out: BinaryIO) -> tuple[int, bool]:
        """Ask a question or a report, and write the answer as it comes.

        Gives how many rows there are, and whether there were more. Raises what the node answers.
        """
        timeout_s = float(wanted.get("timeout_s", 0)) + _QUICK_S
        with (
            self._connected() as client,
            client.stream("POST", "/api/ask", json=dict(wanted), timeout=timeout_s) as answer,
        ):
            if answer.is_error:
                answer.read()
                told: dict[str, Any] = answer.json()
            else:
                out.writelines(answer.iter_bytes())
                heads = answer.headers
                return int(heads["penumbra-rows"]), heads["penumbra-truncated"] == "true"
        raise _fault(told)

    def offers(self) -> dict[str, Any]:
        """Ask which tables and reports there are."""
        return self._ask("GET", "/api/reports", _QUICK_S)

    def _ask(self, method: str, path: str, timeout_s: float, **content: Any) -> dict[str, Any]:
        with self._connected() as client:
            answer = client.request(method, path, timeout=timeout_s, **content)
            told: dict[str, Any] = answer.json()
        if answer.is_error:
            raise _fault(told)
        return told

    @contextmanager
    def _connected(self) -> Iterator[httpx.Client]:
        with _faults(self._path), short_name(self._path) as name:
            _knock(name)
            with (
                httpx.HTTPTransport(uds=name) as transport,
                httpx.Client(transport=transport, base_url="http://node") as client,
            ):
                yield client


def _knock(name: str) -> None:
    """Connect once by hand: the system's own words tell apart who is not there and who may not."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(name)


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as fault:
        raise Unreachable(
            f"no node runs with {path.parent}; start it with `penumbra serve`"
        ) from fault
    except PermissionError as fault:
        words = f"{path} belongs to the node's user; run this command as that user"
        raise NotAuthorised(words) from fault
    except httpx.TimeoutException as fault:
        raise Unreachable("the node runs, yet does not answer") from fault
    except (httpx.HTTPError, OSError, ValueError) as fault:
        raise Unreachable(f"the node broke off ({type(fault).__name__})") from fault


def _fault(problem: Mapping[str, Any]) -> Fault:
    words = str(problem.get("detail", ""))
    kind = _kinds().get(str(problem.get("code")), ServiceFault)
    return kind(words)


def _kinds() -> dict[str, type[Fault]]:
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    return {
        each.code: each for each in kinds if issubclass(each, Fault) and each is not ConfigFault
    }
