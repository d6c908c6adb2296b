"""A FHIR server is told of each settled Study once, also one that misbehaves."""

import time
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette

from config.fhir import TARGET, Fhir
from dicom.entity import SeriesKey
from dicom.errors import Busy, Refused, Unreachable
from examples.peers import fhir_server
from node.control_client import SOCKET_NAME
from node.fhir.desk import Desk
from node.web.fhir import control_route
from node.web.server import Server
from node.workers import asking
from node.workers.fhir import tell
from node.workers.handlers import HANDLERS
from node.workers.loop import Loop
from node.workers.workshop import Later
from routing.job import Kind, NewJob, State
from routing.retry import Policy
from storage.index.database import Index
from storage.ledger import jobs

CONFIG = """
[node]
data_dir = "var"
[fhir]
server = "{url}"
auth = {{ kind = "bearer", token = {{ file = "fhir.token" }} }}
"""
TEXTS = {"PatientID": "CNRY-48213", "Modality": "CT", "PatientName": "Quillobert^Zyx"}


@pytest.fixture(scope="module")
def server() -> Iterator[fhir_server.FhirServer]:
    with fhir_server.running() as made:
        made.token = "t0ken"
        yield made


@pytest.fixture
def node(site, lab, server):
    """A node whose front answers on its control socket, and a worker's tools."""
    server.studies.clear()
    server.asked.clear()
    server.moods.clear()
    (site.folder / "fhir.token").touch(mode=0o600)
    (site.folder / "fhir.token").write_text("t0ken\n")
    (site.folder / "node.toml").write_text(CONFIG.format(url=server.url))
    arrived = site.receive([lab.image(1), lab.image(2)])
    shop = site.workshop()
    index = Index.open(site.folder / "var" / "index.duckdb")
    keys = {"StudyInstanceUID": lab.KEY.study_instance_uid, "SeriesInstanceUID": lab.SERIES}
    entries = [
        (one, {**TEXTS, **keys, "SOPInstanceUID": one.arrival.sop_instance_uid}) for one in arrived
    ]
    index.add(entries, {})
    app = Starlette(routes=[control_route(Desk(Fhir(), index, shop.ledger.studies))])
    socket = Server.on_socket(app, site.folder / "var" / SOCKET_NAME)
    socket.start()
    yield shop
    socket.stop()
    index.close()
    shop.close()


def owe(shop, lab, revision=1):
    study = SeriesKey(lab.KEY.study_instance_uid, "")
    with shop.ledger.database.write() as db:
        jobs.insert(db, [NewJob(Kind.FHIR, study, revision, "", TARGET)], time.time())


def claim(shop, lab):
    owe(shop, lab)
    job = shop.ledger.jobs.claim("w", {Kind.FHIR}, time.time() + 1, 600)
    assert job is not None
    return job


def test_a_study_is_made_and_then_brought_up_to_date(lab, node, server, valid_study):
    """Told twice, the server has one ImagingStudy, found by its identifier."""
    job = claim(node, lab)
    assert tell(job, node).words == "created"
    assert tell(job, node).words == "updated"
    (held,) = server.studies.values()
    assert valid_study(held)["identifier"][0]["value"] == f"urn:oid:{lab.KEY.study_instance_uid}"
    assert held["subject"]["identifier"]["value"] == "CNRY-48213"
    assert "Quillobert" not in str(held)
    assert [len(one["instance"]) for one in held["series"]] == [2]


@pytest.fixture
def valid_study():
    """Hold an ImagingStudy against the models of fhir.resources."""
    from fhir.resources.R4B.imagingstudy import ImagingStudy

    def check(resource):
        ImagingStudy.model_validate(resource)
        return resource

    return check


@pytest.mark.p6
@pytest.mark.parametrize(
    ("mood", "expected"),
    [
        ("503", (Busy, "503")), ("429", (Busy, "429")), ("500", (Unreachable, "500")),
        ("drop", (Unreachable, "cannot be reached")), ("409", (Busy, "409 (processing)")),
        ("422", (Refused, "422 (processing)")), ("412", (Refused, "several ImagingStudies")),
        ("404", (Refused, "404")), ("bad", (Refused, "400")), ("302", (Refused, "302")),
    ],
)  # fmt: skip
def test_a_moody_server_is_told_by_its_codes(lab, node, server, mood, expected):
    """Each answer is tried again or held as it should be, and quotes nothing of a patient."""
    fault, said = expected
    server.moods.append(mood)
    with pytest.raises(fault) as found:
        tell(claim(node, lab), node)
    assert said in str(found.value)
    assert "Quillobert" not in str(found.value)


@pytest.mark.p3
def test_a_server_that_is_away_gets_everything_when_it_is_back(lab, node, server):
    """A job that meets 503 waits and costs its target's breaker; then it is done."""
    server.moods[:] = ["503"]
    owe(node, lab)
    loop = Loop(node, HANDLERS, "w", Policy(3, 0.01))
    assert loop.step()
    (job,) = node.ledger.jobs.list([State.WAITING])
    assert job.fault == "busy"
    deadline = time.monotonic() + 20
    while node.ledger.jobs.counts()[State.DONE] == 0 and time.monotonic() < deadline:
        loop.step()
    assert node.ledger.jobs.counts()[State.DONE] == 1
    assert len(server.studies) == 1
    told = [event.type for event in node.ledger.outbox.after(0, 100)]
    assert "penumbra.study.told" in told


def test_a_wrong_token_is_held_with_words(site, lab, node):
    """Who is not let in is told which setting that is."""
    (site.folder / "fhir.token").write_text("wrong")
    with pytest.raises(Refused, match="auth"):
        tell(claim(node, lab), node)


def test_a_front_that_is_away_is_waited_for(site, lab, node, server):
    """Without the front, and while its index is behind, the job waits and costs no attempt."""
    job = claim(node, lab)
    site.receive_more(lab.image(9))
    with pytest.raises(Later, match="behind"):
        tell(job, node)
    (site.folder / "var" / SOCKET_NAME).unlink()
    with pytest.raises(Later, match="front"):
        tell(job, node)
    assert server.asked == []


def test_the_server_can_be_asked(node, server):
    """The breaker asks for the CapabilityStatement; a node without a server has nobody to ask."""
    assert asking.can_be_asked(node.settings, TARGET)
    assert asking.ask(node.settings, TARGET) is None
    assert server.asked == [("GET", "/base/metadata")]
    away = node.settings.model_copy(update={"fhir": Fhir(server="http://127.0.0.1:1")})
    assert isinstance(asking.ask(away, TARGET), Unreachable)
    assert not asking.can_be_asked(node.settings.model_copy(update={"fhir": Fhir()}), TARGET)


def test_a_server_that_the_config_lost_is_no_fault(lab, node):
    """A job of a server that is gone ends."""
    job = claim(node, lab)
    node.settings = node.settings.model_copy(update={"fhir": Fhir()})
    assert "no server any more" in tell(job, node).words
