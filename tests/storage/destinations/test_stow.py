"""STOW-RS: what the server says of each object is what counts, and tokens, and troubles."""

import ssl
from contextlib import closing
from dataclasses import replace

import pytest

from config.destinations import BasicAuth, OAuth2, StowDestination
from config.shapes import ClientTls, Secret
from dicom.entity import SeriesKey
from dicom.errors import Busy, Refused, Unreachable
from examples.peers import orthanc, web_pacs
from examples.peers.certificates import Pki
from examples.peers.web_pacs import JSON, WebPacs, result
from storage.destinations.base import Delivered

CLIENT = ("penumbra", "s:e c/ret")


@pytest.fixture
def opened(make_destination, monkeypatch):
    """Open a destination for a server; the client's secret is where the table says."""
    monkeypatch.setenv("WEB_SECRET", CLIENT[1])

    def open_at(pacs, **settings):
        table = {"kind": "stow", "url": pacs.web_url, "timeout_s": 5, **settings}
        return closing(make_destination(StowDestination(**table)))

    return open_at


@pytest.fixture
def objects(make):
    return [make(number, study="web") for number in range(10)]


def take(sending, receipts):
    for receipt in sending:
        receipts.append(receipt)


def oauth2(pacs, **more):
    return OAuth2(
        kind="oauth2", token_url=pacs.token_url, client_id=CLIENT[0],
        client_secret=Secret(env="WEB_SECRET"), **more,
    )  # fmt: skip


def delivered(receipt, outgoing):
    series = SeriesKey(outgoing.study_instance_uid, outgoing.series_instance_uid)
    return Delivered(receipt, series)


def test_objects_go_in_batches_with_their_length(opened, objects):
    """No more objects or bytes go into a request than the table says, each request as long as it
    says, and every byte arrives."""
    with web_pacs.running(WebPacs()) as pacs:
        with opened(pacs, batch_objects=4) as destination:
            receipts = list(destination.send(iter(objects)))
        assert [len(batch) for batch in pacs.batches] == [4, 4, 2]
        assert pacs.objects == {one.sop_instance_uid: b"".join(one.chunks) for one in objects}
        _, path, headers = pacs.requests[0]
        assert path == "/dicom-web/studies"
        assert headers["content-type"].startswith('multipart/related; type="application/dicom"; b')
        assert int(headers["content-length"]) > sum(one.size_bytes for one in objects[:4])
        assert headers["accept"] == "application/dicom+json"
    assert [one.digest_sent for one in receipts] == [one.digest() for one in objects]
    assert {one.proof for one in receipts} == {"STOW-RS 200"}


def test_an_object_larger_than_a_batch_goes_alone(opened, make):
    """An object is never left behind for its size."""
    objects = [make(1, pixels=700_000), make(2, pixels=2_000_000), make(3, pixels=700_000)]
    with web_pacs.running(WebPacs()) as pacs, opened(pacs, batch_mb=1) as destination:
        assert len(list(destination.send(objects))) == 3
        assert [len(batch) for batch in pacs.batches] == [1, 1, 1]


@pytest.mark.p3
def test_what_the_server_refuses_keeps_nobody_back(opened, objects):
    """Objects in the Failed SOP Sequence are told at the end with their reason; the others are
    paid."""
    bad = {objects[2].sop_instance_uid: 0xA900, objects[7].sop_instance_uid: 0xC000}

    def answer(_, uids):
        good = [uid for uid in uids if uid not in bad]
        return result(good, {uid: bad[uid] for uid in uids if uid in bad}, 202)

    receipts = []
    with (
        web_pacs.running(WebPacs(answer=answer)) as pacs,
        opened(pacs) as destination,
        pytest.raises(Refused, match=r"2 refused, first: .*0xA900 data set does not match"),
    ):
        take(destination.send(iter(objects)), receipts)
    assert len(receipts) == 8
    assert {one.proof for one in receipts} == {"STOW-RS 202"}


@pytest.mark.p3
@pytest.mark.parametrize("code", [0xA700, 0xA7FF, 0x0213])
def test_an_object_that_has_to_wait_is_owed(opened, objects, code):
    """Out of resources for one object: the others are paid, and it is tried again."""
    late = objects[4].sop_instance_uid

    def answer(_, uids):
        return result([one for one in uids if one != late], {late: code} if late in uids else {})

    receipts = []
    with (
        web_pacs.running(WebPacs(answer=answer)) as pacs,
        opened(pacs) as destination,
        pytest.raises(Busy, match=f"0x{code:04X}"),
    ):
        take(destination.send(iter(objects)), receipts)
    assert len(receipts) == 9


@pytest.mark.parametrize("code", [0x0111, 0xB00E])
def test_a_duplicate_is_already_there(opened, make, code):
    """A server that has the object says so in its own way; the receipt says it too."""
    pacs = WebPacs(answer=lambda _, uids: result([], dict.fromkeys(uids, code), 409))
    with web_pacs.running(pacs), opened(pacs) as destination:
        (receipt,) = destination.send([make(1)])
    assert receipt.proof == f"STOW-RS 409, already there: 0x{code:04X}"


def test_a_conflict_without_reasons_is_looked_up(opened, make):
    """409 and no word on why: what is listed by QIDO-RS is there, what is not is refused."""
    there, missing = make(1), make(2)
    pacs = WebPacs(answer=lambda *_: (409, {}, b""))
    pacs.objects[there.sop_instance_uid] = b"".join(there.chunks)
    receipts = []
    with (
        web_pacs.running(pacs),
        opened(pacs) as destination,
        pytest.raises(Refused, match=missing.sop_instance_uid),
    ):
        take(destination.send([there, missing]), receipts)
    assert [one.proof for one in receipts] == ["STOW-RS 409, already there: listed by QIDO-RS"]


@pytest.mark.p7
@pytest.mark.parametrize("code", [0xA900, 0xC000, 0x0124])
def test_a_reason_is_believed_whatever_is_listed(opened, make, code):
    """A changed object that a server does not want, while it holds the old one under that UID,
    gets no receipt for the old one."""
    pacs = WebPacs(answer=lambda _, uids: result([], dict.fromkeys(uids, code), 409))
    changed = make(1, comment="changed")
    pacs.objects[changed.sop_instance_uid] = b"".join(make(1).chunks)
    with (
        web_pacs.running(pacs),
        opened(pacs) as destination,
        pytest.raises(Refused, match=f"0x{code:04X}"),
    ):
        list(destination.send([changed]))


@pytest.mark.p7
def test_two_objects_of_one_uid_do_not_share_a_request(opened, make):
    """The answer is by UID: what it says of one must not become the other's receipt."""
    twins = [make(1), make(2), make(1, comment="other")]
    answers = iter([result([one.sop_instance_uid for one in twins[:2]], {})])

    def answer(_, uids):
        return next(answers, result([], dict.fromkeys(uids, 0xC000), 409))

    receipts = []
    with web_pacs.running(WebPacs(answer=answer)) as pacs, opened(pacs) as destination:
        with pytest.raises(Refused, match="1 refused"):
            take(destination.send(iter(twins)), receipts)
        assert [len(batch) for batch in pacs.batches] == [2, 1]
    assert [one.source_digest for one in receipts] == [one.source_digest for one in twins[:2]]


@pytest.mark.p3
def test_what_a_full_server_took_has_receipts(opened, objects):
    """A server that ran full within a request ends the delivery, after the receipts of what it
    stored of it."""
    late = [one.sop_instance_uid for one in objects[:4]]

    def answer(_, uids):
        failed = {uid: 0xA700 for uid in uids if uid in late}
        return result([one for one in uids if one not in late], failed, 202)

    receipts = []
    with web_pacs.running(WebPacs(answer=answer)) as pacs:
        with opened(pacs, batch_objects=8) as destination, pytest.raises(Busy, match="0xA700"):
            take(destination.send(iter(objects)), receipts)
        assert len(pacs.batches) == 1
    assert [one.sop_instance_uid for one in receipts] == [
        one.sop_instance_uid for one in objects[4:8]
    ]


def test_silence_about_an_object_is_no_receipt(opened, make):
    """200 with an empty body proves nothing: the object is looked for, and refused if missing."""
    kept, lost = WebPacs(answer=lambda *_: (200, {}, b"")), WebPacs(keeps=False)
    lost.answer = lambda *_: (200, JSON, b"{}")
    with web_pacs.running(kept), opened(kept) as destination:
        (receipt,) = destination.send([make(1)])
        assert receipt.proof == "STOW-RS 200, stored: listed by QIDO-RS"
    with web_pacs.running(lost), opened(lost) as destination, pytest.raises(Refused):
        list(destination.send([make(1)]))


def test_an_object_that_breaks_its_batch_is_found(opened, objects):
    """A server that answers 400 to a whole request gets smaller ones, until one object is left."""
    bad = objects[3].sop_instance_uid

    def answer(_, uids):
        return (400, {}, b"") if bad in uids else result(uids, {})

    receipts = []
    with (
        web_pacs.running(WebPacs(answer=answer)) as pacs,
        opened(pacs) as destination,
        pytest.raises(Refused, match=f"1 refused, first: {bad}: .* answered 400"),
    ):
        take(destination.send(iter(objects)), receipts)
    assert len(receipts) == 9


def test_a_limit_of_size_is_found(opened, objects):
    """A server that takes no more than three objects at once (413) gets them all."""

    def answer(_, uids):
        return (413, {}, b"") if len(uids) > 3 else result(uids, {})

    with web_pacs.running(WebPacs(answer=answer)) as pacs, opened(pacs) as destination:
        assert len(list(destination.send(iter(objects)))) == 10


TROUBLES = {
    (429, "7"): (Busy, "asks to wait 7 s"), (503, ""): (Busy, "answered 503"),
    (503, "Wed, 21 Oct 2099 07:28:00 GMT"): (Busy, "asks to wait"),
    (500, ""): (Unreachable, "answered 500"), (502, ""): (Unreachable, "answered 502"),
    (504, ""): (Unreachable, "answered 504"), (0, ""): (Unreachable, "cannot be reached"),
    (401, ""): (Refused, "see `auth`"), (403, ""): (Refused, "see `auth`"),
    (404, ""): (Refused, "no STOW-RS there"), (405, ""): (Refused, "no STOW-RS there"),
    (307, ""): (Refused, "a redirect"),
}  # fmt: skip


@pytest.mark.parametrize("trouble", TROUBLES)
def test_troubles_with_the_server_are_told_at_once(opened, objects, trouble):
    """What no other object would fare better with ends the delivery: again later, or held."""
    status, wait = trouble
    fault, words = TROUBLES[trouble]
    headers = {"Retry-After": wait} if wait else {}
    if status == 307:
        headers["Location"] = "http://127.0.0.1:1/elsewhere"
    pacs = WebPacs(answer=lambda *_: (status, headers, b""))
    with web_pacs.running(pacs), opened(pacs, batch_objects=2) as destination:
        with pytest.raises(fault, match=words) as told:
            list(destination.send(iter(objects)))
        assert len(pacs.batches) == 1
    assert told.value.retry is (fault is not Refused)


@pytest.mark.p3
def test_receipts_before_a_fault_stand(opened, objects):
    """A server that dies after two requests leaves two requests' receipts; the rest is owed."""
    pacs = WebPacs()
    pacs.answer = lambda pacs, uids: result(uids, {}) if len(pacs.batches) < 3 else (0, {}, b"")
    receipts = []
    with web_pacs.running(pacs), opened(pacs, batch_objects=3) as destination:
        with pytest.raises(Unreachable):
            take(destination.send(iter(objects)), receipts)
        pacs.answer = lambda _, uids: result(uids, {})
        take(destination.send(iter(objects[len(receipts) :])), receipts)
    assert [one.sop_instance_uid for one in receipts] == [one.sop_instance_uid for one in objects]


def test_a_token_is_asked_for_once_and_kept(opened, objects):
    """OAuth2 client credentials: one token serves all requests, with the scope that was set."""
    with web_pacs.running(WebPacs(client=("penumbra", "s%3Ae%20c%2Fret"))) as pacs:
        auth = oauth2(pacs, scope="dicom.write")
        with opened(pacs, batch_objects=2, auth=auth) as destination:
            assert len(list(destination.send(iter(objects)))) == 10
        assert pacs.token_requests == [
            {"grant_type": ["client_credentials"], "scope": ["dicom.write"]}
        ]


def test_a_token_is_renewed_before_its_end_and_when_it_is_withdrawn(opened, objects):
    """A token about to end is not used, and one that the server no longer takes is replaced."""
    with web_pacs.running(WebPacs(client=("penumbra", "s%3Ae%20c%2Fret"))) as pacs:
        with opened(pacs, auth=oauth2(pacs)) as destination:
            list(destination.send(objects[:2]))
            pacs.tokens.clear()
            pacs.tokens["other"] = 0.0
            assert len(list(destination.send(objects[2:4]))) == 2
            assert len(pacs.token_requests) == 2
        pacs.token_lasts_s = 0.0
        with opened(pacs, auth=oauth2(pacs)) as destination, pytest.raises(Refused, match="401"):
            list(destination.send(objects[4:5]))


def test_a_wrong_client_is_refused(opened, objects):
    """A token server that does not know us is told apart, by its own code and without a secret."""
    with web_pacs.running(WebPacs(client=("somebody", "else"))) as pacs:
        with (
            opened(pacs, auth=oauth2(pacs)) as destination,
            pytest.raises(Refused, match="invalid_client") as told,
        ):
            list(destination.send(iter(objects)))
        assert CLIENT[1] not in str(told.value)
        assert not pacs.batches


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


def test_tls_is_verified(opened, make, pki):
    """HTTPS with an authority of one's own works; without it nothing is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.node.certificate, pki.node.key)
    with web_pacs.running(WebPacs(), context) as pacs:
        url = f"https://localhost:{pacs.port}/dicom-web"
        trusted = ClientTls(ca=pki.authority.file)
        with opened(pacs, url=url, tls=trusted) as destination:
            assert len(list(destination.send([make(1)]))) == 1
        for tls in (None, trusted.model_copy(update={"name": "elsewhere.example"})):
            with (
                opened(pacs, url=url, tls=tls) as destination,
                pytest.raises(Refused, match="not trusted"),
            ):
                list(destination.send([make(2)]))
        assert len(pacs.batches) == 1


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Orthanc's DICOMweb plugin, which wants a user and a password."""
    if orthanc.binary() is None or orthanc.web_plugin() is None:
        pytest.skip("no DICOMweb plugin (Debian: apt-get install orthanc-dicomweb)")
    with orthanc.running(tmp_path_factory.mktemp("stow"), web=True) as pacs:
        yield pacs


def test_orthanc_behind_a_token(real, opened, objects):
    """Objects reach Orthanc through a gate that wants OAuth2, and are proven afresh there."""
    pacs = WebPacs(client=("penumbra", "s%3Ae%20c%2Fret"), behind=f"127.0.0.1:{real.http_port}")
    with web_pacs.running(pacs), opened(pacs, auth=oauth2(pacs)) as destination:
        destination.check()
        receipts = list(destination.send(iter(objects)))
        gone = replace(receipts[0], sop_instance_uid="1.2.3.4")
        asked = [delivered(one, two) for one, two in zip(receipts, objects, strict=True)]
        proofs = list(destination.prove([delivered(gone, objects[0]), *asked]))
    assert [one.holds for one in proofs] == [False] + [True] * 10
    assert {one.sop_instance_uid for one in objects} <= set(real.received())
    with web_pacs.running(pacs), opened(pacs) as stranger, pytest.raises(Refused, match="401"):
        stranger.check()


def test_orthanc_with_a_password(opened, make, tmp_path, monkeypatch):
    """Basic authentication against real Orthanc; a wrong password is refused."""
    if orthanc.binary() is None or orthanc.web_plugin() is None:
        pytest.skip("no DICOMweb plugin (Debian: apt-get install orthanc-dicomweb)")
    monkeypatch.setenv("WRONG", "guess")
    more = {"AuthenticationEnabled": True, "RegisteredUsers": {"penumbra": CLIENT[1]}}
    with orthanc.running(tmp_path, web=True, more=more) as pacs:
        for env, fault in (("WEB_SECRET", None), ("WRONG", Refused)):
            auth = BasicAuth(kind="basic", user="penumbra", password=Secret(env=env))
            with opened(pacs, auth=auth) as destination:
                if fault is None:
                    assert len(list(destination.send([make(1)]))) == 1
                    continue
                with pytest.raises(fault, match="401"):
                    list(destination.send([make(2)]))
