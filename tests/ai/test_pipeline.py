"""A Series goes through a real Triton and comes back as a report, or as the right fault."""

import asyncio
import io
import os
import shutil
import signal
import subprocess
import threading
import time

import numpy as np
import pytest
from pydicom import dcmread

from ai import phantom, server
from ai.finding import Measurement
from ai.outcome import Broken
from ai.pool import Servers
from config.models import Model
from dicom.errors import ModelUnavailable, Unsuitable
from examples.peers import triton as peer
from examples.peers.process import free_port, wait_until


def _model(*endpoints, **keys):
    return Model(endpoints=endpoints, model=keys.pop("model", "ct_emphysema"), **keys)


def _numbers(outcome):
    """The measured numbers, by output."""
    return {each.output: each.value for each in outcome.findings if isinstance(each, Measurement)}


@pytest.mark.parametrize("emphysema", [0.0, 0.18, 0.55])
def test_the_phantom_truth_is_recovered(ask, triton, tmp_path, emphysema):
    """LAA-950 within 0.1 points, lung volume within 0.5 %, Perc15 exactly."""
    truth = phantom.write(tmp_path, slices=40, size=256, emphysema=emphysema, label="t")
    series = [path.read_bytes() for path in reversed(truth.files)]
    result = ask(_model(triton.endpoint), series)
    found = _numbers(result)
    assert found["laa950_percent"] == pytest.approx(truth.laa950_percent, abs=0.1)
    assert found["lung_volume_ml"] == pytest.approx(truth.lung_volume_ml, rel=0.005)
    assert found["perc15_hu"] == truth.perc15_hu
    assert abs(truth.laa950_percent - 100 * emphysema) < 3


@pytest.mark.skipif(
    shutil.which("dsrdump") is None, reason="needs dsrdump (Debian: apt-get install dcmtk)"
)
def test_the_report_of_a_real_answer_reads_with_dcmtk(ask, triton, series, truth, tmp_path):
    """DCMTK prints the measured numbers, the server's version and the model's."""
    result = ask(_model(triton.endpoint), series)
    path = tmp_path / "sr.dcm"
    path.write_bytes(result.results[0].part10)
    command = ["dsrdump", "+Pl", path]
    read = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f'"{truth.laa950_percent:.2f}" (%,UCUM,"Percent")' in read
    assert f'"{truth.lung_volume_ml:.1f}" (mL,UCUM,"milliliter")' in read
    assert "server triton 2." in read
    assert "model ct_emphysema version 1" in read
    assert str(dcmread(path).PatientID) == phantom.Patient().patient_id


def test_a_second_run_makes_the_same_bytes(ask, triton, series):
    """The order of arrival and another run change nothing in the report."""
    first = ask(_model(triton.endpoint), series)
    second = ask(_model(triton.endpoint), series[::-1])
    assert [one.part10 for one in first.results] == [one.part10 for one in second.results]


@pytest.mark.p6
def test_the_log_holds_no_patient_data(ask, triton, series, capsys):
    """The line about an inference names UIDs and times, nobody."""
    ask(_model(triton.endpoint), series)
    said = "".join(capsys.readouterr())
    assert "inference" in said
    assert not [value for value in phantom.Patient().strings if value in said]


def _fill(value):
    def change(_, ds):
        stored = np.full((ds.Rows, ds.Columns), value + 1024, dtype="<u2")
        ds.PixelData = stored.tobytes()

    return change


@pytest.mark.parametrize("value", [-1000, 40])
def test_a_volume_without_lungs_is_refused_by_the_model(ask, triton, edited, value):
    """Nothing but air, or nothing but tissue, is a report that says so, and never a number."""
    outcome = ask(_model(triton.endpoint), edited(_fill(value)))
    assert "no lungs were found" in outcome.refusal
    assert outcome.findings == ()
    assert [result.kind for result in outcome.results] == ["sr"]
    said = _values(outcome.results[0])
    assert "NUM" not in said
    assert any("no lungs were found" in words for words in said.values())


def _values(result):
    """The values of a report's content items, as text, by their types."""
    left, found = [dcmread(io.BytesIO(result.part10))], {}
    while left:
        item = left.pop()
        left += item.get("ContentSequence", [])
        found[str(item.get("ValueType", ""))] = found.get(item.get("ValueType", ""), "") + str(
            item.get("TextValue", "")
        )
    return found


def test_a_refused_series_may_be_held_or_left_alone(ask, triton, series):
    """[models.NAME] refused: "hold" is a fault with the reason, "ignore" makes nothing."""
    with pytest.raises(Unsuitable, match="24 slices; at least 25"):
        ask(_model(triton.endpoint, min_slices=25, refused="hold"), series)
    outcome = ask(_model(triton.endpoint, min_slices=25, refused="ignore"), series)
    assert outcome.results == ()
    assert "24 slices; at least 25" in outcome.refusal


@pytest.mark.parametrize("refused", ["report", "hold", "ignore"])
def test_an_mr_series_is_never_reported_by_a_model_of_ct(ask, triton, edited, refused):
    """A Series of another Modality is none of the model's business: no result, and no fault."""

    def be_mr(_, ds):
        ds.Modality = "MR"

    outcome = ask(_model(triton.endpoint, refused=refused), edited(be_mr))
    assert outcome.results == ()
    assert (outcome.endpoint, outcome.source) == ("", None)
    assert "not of Modality CT" in outcome.refusal


def test_the_config_can_ask_for_more_slices(ask, triton, series):
    """[models.NAME] min_slices wins over the model's own; the server is not asked then."""
    outcome = ask(_model(triton.endpoint, min_slices=25), series)
    assert "24 slices; at least 25" in outcome.refusal
    assert (outcome.endpoint, outcome.answers) == ("", 0)
    assert len(outcome.results) == 1
    assert len(outcome.source.references) == 24


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda z, ds: setattr(ds, "PatientID", f"P{z}"), "differ in PatientID"),
        (lambda z, ds: setattr(ds, "StudyInstanceUID", f"1.2.{z + 1}"), "differ in StudyInstance"),
        (lambda _, ds: setattr(ds, "SOPInstanceUID", "1.2.3"), "the same SOPInstanceUID"),
    ],
)
def test_a_series_of_nobody_knows_whom_is_never_reported(*, ask, triton, edited, change, words):
    """Where objects disagree about whose they are, not even a refusal is written down."""
    with pytest.raises(Unsuitable, match=words):
        ask(_model(triton.endpoint), edited(change))


def test_an_outcome_tells_what_was_asked_and_what_it_took(ask, triton, series):
    """Model, version, endpoint, digests and times are there for whoever keeps account."""
    outcome = ask(_model(triton.endpoint, results=["sr"]), series)
    assert [result.kind for result in outcome.results] == ["sr"]
    assert (outcome.served.model, outcome.served.version) == ("ct_emphysema", "1")
    assert outcome.endpoint == triton.endpoint
    assert (outcome.images, outcome.answers) == (24, 1)
    assert set(outcome.seconds) == {"read", "model", "report"}
    assert min(outcome.seconds.values()) >= 0
    assert len(outcome.model_digest) == len(outcome.input_digest) == 64
    again = ask(_model(triton.endpoint, results=["sr"]), series[::-1])
    assert again.input_digest == outcome.input_digest


def test_mirrored_series_are_asked_too_where_the_contract_says_so(ask, triton, series, truth):
    """Test-time augmentation: each mirror image is an answer, and the numbers are averaged."""
    trust = {"augment": ["flip-x", "flip-z"]}
    outcome = ask(_model(triton.endpoint, trust=trust, results=["sr"]), series)
    assert outcome.answers == 3
    found = _numbers(outcome)
    assert found["laa950_percent"] == pytest.approx(truth.laa950_percent, abs=0.1)
    assert set(outcome.spread) == {"laa950_percent", "lung_volume_ml", "perc15_hu"}
    assert max(outcome.spread.values()) < 1


def test_a_dead_endpoint_is_unavailable_at_once(ask, series):
    """Nobody there: ModelUnavailable, to be tried again, within two seconds."""
    began = time.monotonic()
    with pytest.raises(ModelUnavailable, match="UNAVAILABLE") as fault:
        ask(_model(f"127.0.0.1:{free_port()}"), series)
    assert fault.value.retry
    assert time.monotonic() - began < 2


def test_a_silent_endpoint_is_given_up(ask, series):
    """A port that accepts and never answers costs one probe, not the job's time."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(ModelUnavailable, match=r"DEADLINE_EXCEEDED|UNAVAILABLE"):
            ask(_model(f"127.0.0.1:{silent.getsockname()[1]}"), series)
        assert time.monotonic() - began < 5


def test_the_next_endpoint_answers_when_the_first_is_dead(ask, triton, series):
    """A dead server costs nothing but its turn."""
    endpoints = (f"127.0.0.1:{free_port()}", triton.endpoint)
    assert ask(_model(*endpoints), series).findings


def test_a_server_that_comes_up_later_is_found(ask, environment, series, tmp_path):
    """The client reconnects by itself once the server is there."""
    port = free_port()
    settings = _model(f"127.0.0.1:{port}")
    with pytest.raises(ModelUnavailable):
        ask(settings, series)
    (tmp_path / "models").mkdir()
    link = tmp_path / "models" / "ct_emphysema"
    link.symlink_to(server.REFERENCE_REPOSITORY / "ct_emphysema")
    with peer.running(tmp_path, repository=link.parent, environment=environment, grpc_port=port):
        wait_until(lambda: _answers(ask, settings, series), 10, "reconnecting")
    with pytest.raises(ModelUnavailable):
        ask(settings, series)


def _answers(ask, settings, series):
    try:
        return bool(ask(settings, series).findings)
    except ModelUnavailable:
        return False


@pytest.mark.parametrize(
    ("keys", "words"),
    [({"model": "ct_emphysemo"}, "ct_emphysemo"), ({"version": "7"}, "ct_emphysema")],
)
def test_an_unknown_model_or_version_is_unavailable(ask, triton, series, keys, words):
    """A name or version that the server lacks is said with the endpoint; it may be loaded yet."""
    with pytest.raises(ModelUnavailable, match=f"{triton.endpoint}: model {words}"):
        ask(_model(triton.endpoint, **keys), series)


def _first_voxel(value):
    def change(z, ds):
        if z == 0:
            stored = ds.pixel_array.copy()
            stored[0, 0] = value + 1024
            ds.PixelData = stored.tobytes()

    return change


@pytest.mark.parametrize(
    ("voxel", "fault", "words"),
    [
        (1, Broken, "laa950_percent holds what is not a number"),
        (2, Broken, "laa950_percent holds what is not a number"),
        (3, Broken, "laa950_percent came as"),
        (4, Broken, "outside its limits"),
        (8, ModelUnavailable, "the model fell over"),
        (9, Broken, "labels came as"),
        (10, Broken, "output regions came as FP32"),
        (11, Broken, "output regions"),
        (12, Broken, "output regions"),
        (13, Broken, "output regions is missing"),
    ],
)
def test_a_broken_answer_makes_no_report(*, ask, misbehaving, edited, voxel, fault, words):
    """A wrong answer of a real server is a fault with words, never a report."""
    with pytest.raises(fault, match=words) as raised:
        ask(_model(misbehaving.endpoint), edited(_first_voxel(voxel)))
    if fault is Broken:
        said = raised.value.outcome
        assert (said.served.model, said.source.head.Modality) == ("ct_emphysema", "CT")
        assert (said.findings, said.results) == ((), ())


def test_the_words_of_a_models_refusal_are_made_printable(ask, misbehaving, edited):
    """What a model says goes into reports and logs: one line without control characters."""
    outcome = ask(_model(misbehaving.endpoint), edited(_first_voxel(5)))
    assert outcome.refusal.endswith("refuses this Series: contrastagent")


def test_the_misbehaving_model_can_answer_well(ask, misbehaving, edited):
    """The tests above fail for their own reason: asked for nothing special, the model answers."""
    series = edited(_first_voxel(0))
    assert ask(_model(misbehaving.endpoint), series).findings


def test_a_model_that_hangs_is_given_up_in_time(ask, doomed, edited):
    """The deadline of the config is kept, and the fault says so."""
    server, asked = doomed
    series = edited(_first_voxel(6))
    began = time.monotonic()
    with pytest.raises(ModelUnavailable, match="DEADLINE_EXCEEDED"):
        ask(_model(server.endpoint, timeout_s=1), series)
    assert time.monotonic() - began < 3
    assert asked.exists()


def _kill_once(asked, server):
    def kill():
        wait_until(asked.exists, 20, "the model's call")
        os.kill(server.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    return killer


def test_a_server_killed_mid_call_is_unavailable(ask, doomed, edited):
    """kill -9 while the model works: the job is tried again later."""
    server, asked = doomed
    killer = _kill_once(asked, server)
    with pytest.raises(ModelUnavailable, match="UNAVAILABLE"):
        ask(_model(server.endpoint), edited(_first_voxel(6)))
    killer.join()


def test_a_server_killed_mid_call_is_replaced(ask, doomed, triton, edited):
    """kill -9 while the model works: the next endpoint answers in the same job."""
    server, asked = doomed
    killer = _kill_once(asked, server)
    # Voxel 0 means nothing to the reference model. Both servers have their turn.
    for _ in range(2):
        assert ask(_model(server.endpoint, triton.endpoint), edited(_first_voxel(6))).findings
    killer.join()
    assert asked.exists()


def test_a_model_that_dies_mid_call_is_unavailable(ask, doomed, edited):
    """A dead model process is a fault to try again, on this endpoint or another."""
    server, _ = doomed
    with pytest.raises(ModelUnavailable, match="INTERNAL"):
        ask(_model(server.endpoint), edited(_first_voxel(7)))


def test_connections_are_kept_and_closed(triton):
    """One client per endpoint serves many questions; after close it can be used again."""

    async def twice():
        servers = Servers()
        first = await servers.describe(_model(triton.endpoint))
        second = await servers.describe(_model(triton.endpoint))
        await servers.close()
        third = await servers.describe(_model(triton.endpoint))
        await servers.close()
        return first, second, third

    first, second, third = asyncio.run(twice())
    assert first is second
    assert third == first


def test_a_mapped_series_is_read_without_a_copy(ask, triton, truth):
    """Memory views of the spool serve as well as bytes, and are let go."""
    backing = bytearray(b"".join(path.read_bytes() for path in truth.files))
    whole, views, at = memoryview(backing), [], 0
    for path in truth.files:
        size = path.stat().st_size
        views.append(whole[at : at + size])
        at += size
    result = ask(_model(triton.endpoint), views)
    for view in (*views, whole):
        view.release()
    backing.clear()  # raises BufferError while anyone still looks at it
    assert dcmread(io.BytesIO(result.results[0].part10)).Modality == "SR"
