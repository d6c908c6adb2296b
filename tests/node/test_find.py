"""C-FIND over the wire: real clients ask the service, and get what PS3.4 C.4.1 promises."""

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from config.model import Settings
from dicom import head, part10
from dicom.entity import Arrival, Instance, Location
from dicom.errors import StorageFault
from dicom.query import Query
from examples.peers.find_scu import (
    CT,
    EXPLICIT,
    FINDSCU,
    PATIENT_ROOT,
    STUDY_ROOT,
    ask,
    findscu,
    identifier,
    written,
)
from node.services.find import FindService
from storage.index.database import Entry, Index

needs_findscu = pytest.mark.skipif(FINDSCU is None, reason="findscu is in Debian's dcmtk")

PEOPLE = {
    "german": (["ISO_IR 100"], "Müller^Jürgen"),
    "greek": (["ISO_IR 126"], "Διονυσιος"),
    "russian": (["ISO_IR 144"], "Люкceмбypг"),  # noqa: RUF001  (Cyrillic is meant)
    "japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "chinese": (["GB18030"], "Wang^XiaoDong=王^小东"),
    "korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "unicode": (["ISO_IR 192"], "Ångström^Łukasz"),
}


def stored(number: int, terms: list[str], **keys: Any) -> Entry:
    """One object as the follower reads it."""
    dataset = Dataset()
    if terms:
        dataset.SpecificCharacterSet = terms
    uids = {"StudyInstanceUID": f"1.{number}", "SeriesInstanceUID": f"1.{number}.1"}
    for keyword, value in {**uids, "SOPInstanceUID": f"1.{number}.1.1", **keys}.items():
        setattr(dataset, keyword, value)
    arrival = Arrival(CT, dataset.SOPInstanceUID, EXPLICIT, "CT1", "PENUMBRA", "a", "h", 1.0)
    instance = Instance(arrival, Location("s", number, 1), f"{number:064x}")
    return instance, head.of_dataset(part10.read_head(written(dataset)))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """An index of people of many scripts, and 300 studies of one plain patient."""
    found = Index.open(tmp_path_factory.mktemp("index") / "index.duckdb")
    people = [
        stored(number, terms, PatientName=name, PatientID=who, Modality="CT", StudyDate="20240131")
        for number, (who, (terms, name)) in enumerate(PEOPLE.items(), 1)
    ]
    crowd = [stored(n, [], PatientName="Doe^John", PatientID="crowd") for n in range(100, 400)]
    found.add(people + crowd, {})
    yield found
    found.close()


@contextlib.contextmanager
def serving(service: FindService) -> Iterator[int]:
    """Bind a service to a small real server; gives its port."""
    ae = AE("PENUMBRA")
    ae.supported_contexts = list(service.contexts())
    opened: list[socket.socket] = []
    handlers = [
        *service.handlers(),
        (evt.EVT_CONN_OPEN, lambda event: opened.append(event.assoc.dul.socket.socket)),
    ]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    assert server is not None
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        for connection in opened:  # pynetdicom leaves those open whose peer was gone first
            connection.close()


@pytest.fixture(scope="module")
def settings() -> Settings:
    """SCANNER may find, NOFIND may not."""
    peers = {"SCANNER": {"may": ["find"]}, "NOFIND": {"may": ["store"]}}
    return Settings.model_validate({"peers": peers})


@pytest.fixture(scope="module")
def port(index: Index, settings: Settings) -> Iterator[int]:
    """The port of a server with the service."""
    with serving(FindService(settings, index)) as found:
        yield found


@pytest.mark.parametrize("who", PEOPLE)
def test_every_script_is_asked_and_answered_in_its_own_character_set(port: int, who: str) -> None:
    """A name asked in its own character set is found, and comes back in the same one."""
    terms, name = PEOPLE[who]
    asked = identifier(SpecificCharacterSet=terms, PatientName=name, PatientID="")
    status, (match,) = ask(port, asked)
    assert status.Status == 0x0000
    assert (match.PatientName, match.PatientID) == (name, who)
    assert (
        list(match.SpecificCharacterSet or [""]) == terms or [match.SpecificCharacterSet] == terms
    )


@needs_findscu
@pytest.mark.parametrize("who", PEOPLE)
def test_findscu_is_answered_in_its_own_character_set(port: int, tmp_path: Path, who: str) -> None:
    """DCMTK's findscu finds a name in each script and reads the answer."""
    terms, name = PEOPLE[who]
    asked = identifier(SpecificCharacterSet=terms, PatientName=name, PatientID="")
    (match,) = findscu(port, tmp_path / "out", asked)
    assert (match.PatientName, match.PatientID) == (name, who)
    assert match.RetrieveAETitle == "PENUMBRA"


@pytest.mark.parametrize(
    ("asked_in", "who", "answered_in"),
    [
        ([], "crowd", None),
        (["ISO_IR 100"], "crowd", None),
        ([], "german", "ISO_IR 192"),
        (["ISO_IR 100"], "german", "ISO_IR 100"),
        (["ISO_IR 100"], "japanese", "ISO_IR 192"),
        (["GB18030"], "greek", "GB18030"),
        (["ISO_IR 126"], "russian", "ISO_IR 192"),
    ],
)
def test_the_answer_names_its_character_set(
    port: int, asked_in: list[str], who: str, answered_in: str | None
) -> None:
    """Absent for ASCII, the requester's where it is enough, otherwise UTF-8 (PS3.5 6.1.2)."""
    asked = identifier(PatientID=who, PatientName="")
    if asked_in:
        asked.SpecificCharacterSet = asked_in
    _, matches = ask(port, asked)
    assert matches[0].get("SpecificCharacterSet") == answered_in
    assert matches[0].PatientName == (PEOPLE[who][1] if who in PEOPLE else "Doe^John")


@pytest.mark.parametrize(("name", "who"), [("muller*", "german"), ("山田*", "japanese")])
def test_names_are_found_without_case_and_accents(port: int, name: str, who: str) -> None:
    """A name is found as it is typed: any case, no accents, any of its spellings."""
    asked = identifier(SpecificCharacterSet="ISO_IR 192", PatientName=name, PatientID="")
    _, matches = ask(port, asked)
    assert [one.PatientID for one in matches] == [who]


def test_an_answer_holds_the_requested_keys_and_no_others(port: int) -> None:
    """Requested keys, the level and the AE title to retrieve from; nothing else (C.4.1.1.3.2)."""
    asked = identifier(PatientID="german", StudyDate="", StudyTime="", ModalitiesInStudy="")
    _, (match,) = ask(port, asked)
    assert {one.keyword: str(one.value or "") for one in match} == {
        "QueryRetrieveLevel": "STUDY",
        "RetrieveAETitle": "PENUMBRA",
        "PatientID": "german",
        "StudyDate": "20240131",
        "StudyTime": "",
        "ModalitiesInStudy": "CT",
    }


def test_every_level_of_both_models_is_answered(port: int) -> None:
    """Patient Root and Study Root answer down to the Instance."""
    uids = {"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.1.1"}
    patient = {"PatientID": "german"}
    for model, level, keys, wanted in [
        (PATIENT_ROOT, "PATIENT", {"PatientID": "g*"}, "PatientID"),
        (PATIENT_ROOT, "STUDY", patient, "StudyInstanceUID"),
        (PATIENT_ROOT, "SERIES", patient | {"StudyInstanceUID": "1.1"}, "SeriesInstanceUID"),
        (PATIENT_ROOT, "IMAGE", patient | uids, "SOPInstanceUID"),
        (STUDY_ROOT, "STUDY", patient, "StudyInstanceUID"),
        (STUDY_ROOT, "SERIES", {"StudyInstanceUID": "1.1"}, "SeriesInstanceUID"),
        (STUDY_ROOT, "IMAGE", uids, "SOPInstanceUID"),
    ]:
        asked = identifier(level, **keys)
        asked.setdefault(wanted, None)
        if wanted == "PatientID":
            asked.PatientName = ""
        status, matches = ask(port, asked, model)
        assert status.Status == 0x0000, (model, level)
        found = {one[wanted].value for one in matches}
        expected = {"PatientID": {"german", "greek"}, "StudyInstanceUID": {"1.1"},
                    "SeriesInstanceUID": {"1.1.1"}, "SOPInstanceUID": {"1.1.1.1"}}  # fmt: skip
        assert found == expected[wanted], (model, level)


@needs_findscu
def test_findscu_asks_patient_root(port: int, tmp_path: Path) -> None:
    """findscu's Patient Root query for a wildcard gets every patient that fits."""
    matches = findscu(port, tmp_path / "out", identifier("PATIENT", PatientID="??e*"), "-P")
    assert {one.PatientID for one in matches} == {"greek"}


def test_pending_says_whether_keys_were_ignored(port: int) -> None:
    """0xFF00 where every key is supported, 0xFF01 where some were ignored (C.4.1.1.4)."""
    ae = AE("SCANNER")
    ae.add_requested_context(STUDY_ROOT)
    association = ae.associate("127.0.0.1", port, ae_title="PENUMBRA")
    plain = list(association.send_c_find(identifier(PatientID="german"), STUDY_ROOT))
    odd = identifier(PatientID="german", BitsAllocated=16)
    ignored = list(association.send_c_find(odd, STUDY_ROOT))
    association.release()
    assert [status.Status for status, _ in plain] == [0xFF00, 0x0000]
    assert [status.Status for status, _ in ignored] == [0xFF01, 0x0000]
    assert "BitsAllocated" not in ignored[0][1]


@pytest.mark.parametrize(
    ("asked", "offending"),
    [
        (identifier("", PatientID="P1"), 0x00080052),
        (identifier("PATIENT"), 0x00080052),
        (identifier("SERIES"), 0x0020000D),
        (identifier("IMAGE", StudyInstanceUID="1.1"), 0x0020000E),
        (identifier("STUDY", StudyDate="20240131-20240101-"), 0x00080020),
    ],
)
def test_a_broken_identifier_hears_which_element(port: int, asked: Dataset, offending: int) -> None:
    """0xA900 with the offending element and a comment, and the association lives on."""
    status, matches = ask(port, asked)
    assert not matches
    assert status.Status == 0xA900
    assert status.OffendingElement == offending
    assert status.ErrorComment
    assert ask(port, identifier(PatientID="german"))[0].Status == 0x0000


def test_who_may_not_find_hears_so(port: int) -> None:
    """A peer without the permission, and an unknown one, hear 0x0124."""
    for calling in ("NOFIND", "STRANGER"):
        status, matches = ask(port, identifier(PatientID=""), calling=calling)
        assert (status.Status, matches) == (0x0124, [])


def test_no_match_is_success(port: int) -> None:
    """Nothing found is one Success and no identifier."""
    status, matches = ask(port, identifier(PatientID="nobody"))
    assert (status.Status, matches) == (0x0000, [])


class Endless:
    """An index whose matches never end, until it is told that nobody asks any more."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def find(self, query: Query, limit: int) -> Iterator[Mapping[str, str]]:
        try:
            while True:
                yield {"PatientID": "P1"}
        finally:
            self.closed.set()


def test_a_cancelled_query_stops(settings: Settings) -> None:
    """C-CANCEL ends the answers with 0xFE00, and the search behind them ends too."""
    endless = Endless()
    with serving(FindService(settings, endless, 10**9)) as port:
        ae = AE("SCANNER")
        ae.add_requested_context(STUDY_ROOT)
        association = ae.associate("127.0.0.1", port, ae_title="PENUMBRA")
        statuses = []
        for status, _ in association.send_c_find(identifier(PatientID=""), STUDY_ROOT, msg_id=7):
            statuses.append(status.Status)
            if len(statuses) == 3:
                association.send_c_cancel(7, query_model=STUDY_ROOT)
        association.release()
    assert statuses[-1] == 0xFE00
    assert set(statuses[:-1]) == {0xFF00}
    assert endless.closed.wait(5)


def test_a_vanished_requester_ends_the_search(settings: Settings) -> None:
    """When the requester aborts in the middle, the search behind the answers is closed."""
    endless = Endless()
    with serving(FindService(settings, endless, 10**9)) as port:
        ae = AE("SCANNER")
        ae.add_requested_context(STUDY_ROOT)
        association = ae.associate("127.0.0.1", port, ae_title="PENUMBRA")
        responses = association.send_c_find(identifier(PatientID=""), STUDY_ROOT)
        next(responses)
        association.abort()
        assert endless.closed.wait(20)


def test_too_many_matches_are_refused_at_the_end(index: Index, settings: Settings) -> None:
    """Past the limit the answer ends with 0xA700, not with a silent Success."""
    with serving(FindService(settings, index, 50)) as port:
        status, matches = ask(port, identifier(PatientID="crowd"))
        assert (status.Status, len(matches)) == (0xA700, 50)
        assert ask(port, identifier(PatientID="german"))[0].Status == 0x0000


class Failing:
    """An index that fails: by a Fault, or by a bug whose words name a patient."""

    def __init__(self, fault: Exception) -> None:
        self._fault = fault

    def find(self, query: Query, limit: int) -> Iterator[Mapping[str, str]]:
        raise self._fault


@pytest.mark.p6
@pytest.mark.parametrize(
    ("fault", "heard"),
    [(StorageFault("the disk is gone"), 0xA700), (ValueError("Doe^John"), 0x0110)],
)
def test_a_failing_index_is_a_status_and_no_leak(
    settings: Settings, caplog: pytest.LogCaptureFixture, fault: Exception, heard: int
) -> None:
    """A Fault becomes its status, a bug "unable to process"; neither leaks words of a patient."""
    with serving(FindService(settings, Failing(fault))) as port:
        with structlog.testing.capture_logs() as lines:
            status, matches = ask(port, identifier(PatientID="P1"))
        assert (status.Status, matches) == (heard, [])
    assert "Doe" not in caplog.text + str(lines) + str(status.get("ErrorComment"))


@pytest.mark.p6
def test_one_line_tells_of_a_query_without_its_values(port: int) -> None:
    """The log names level, keys, matches and time, and none of the values."""
    with structlog.testing.capture_logs() as lines:
        ask(port, identifier(PatientID="german", PatientName="M*", StudyDate=""))
    (line,) = [one for one in lines if one["event"] == "query"]
    assert line["ms"] >= 0
    del line["ms"]
    assert line == {
        "event": "query",
        "log_level": "info",
        "calling_ae": "SCANNER",
        "root": "study",
        "level": "STUDY",
        "keys": ["PatientName", "PatientID"],
        "matches": 1,
        "status": "0x0000",
        "words": "",
    }


def test_an_unreadable_identifier_is_refused(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are no dataset hear 0xA900 or 0xC000, and the service serves on."""
    with monkeypatch.context() as patched:
        patched.setattr("pynetdicom.association.encode", lambda *_: b"\xff\xfe\x10" * 99)
        status, matches = ask(port, identifier(PatientID=""))
    assert status.Status in {0xA900, 0xC000}
    assert not matches
    assert ask(port, identifier(PatientID="german"))[0].Status == 0x0000


def test_several_clients_ask_at_once(port: int) -> None:
    """Eight clients at the same time each get all of their answers."""
    counts: list[int] = []

    def client() -> None:
        _, matches = ask(port, identifier(PatientID="crowd"))
        counts.append(len(matches))

    clients = [threading.Thread(target=client) for _ in range(8)]
    for one in clients:
        one.start()
    for one in clients:
        one.join(60)
    assert counts == [300] * 8


def test_the_service_is_one_row_of_the_listener(index: Index, settings: Settings) -> None:
    """The service offers both models in every uncompressed syntax, and binds C-FIND."""
    service = FindService(settings, index)
    assert {one.abstract_syntax for one in service.contexts()} == {PATIENT_ROOT, STUDY_ROOT}
    assert [event for event, _ in service.handlers()] == [evt.EVT_C_FIND]
