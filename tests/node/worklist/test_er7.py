"""HL7 messages in their encoding with bars: read forgivingly, never with a guessed letter."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.worklist import er7
from node.worklist.er7 import NotHl7

HEAD = "MSH|^~\\&|RIS|HOSP|PEN|RAD|20261121||ORM^O01|17|P|2.5.1"


def read(text: str, charset: str = "ASCII", encoding: str = "utf-8") -> er7.Message:
    """Read a message of these lines."""
    return er7.read(text.replace("\n", "\r").encode(encoding), charset)


def test_fields_count_as_the_standard_does():
    """MSH-1 is the separator itself; components and parts count from 1; what lacks is empty."""
    message = read(HEAD + "\nPID|||4711^^^H&1.2&ISO~99^^^X||Doe^Jane\n")
    pid = message.first("PID")
    assert message.type == ("ORM", "O01")
    assert [message.header.text(number) for number in (1, 3, 10, 12)] == ["|", "RIS", "17", "2.5.1"]
    assert (pid.text(3), pid.text(3, 4), pid.text(3, 4, 2), pid.text(3, 4, 9)) == (
        "4711", "H", "1.2", "",
    )  # fmt: skip
    assert [pid.text(5, 2), pid.text(99), pid.text(5, 9)] == ["Jane", "", ""]
    assert message.first("OBR").text(3) == ""


ESCAPES = [
    (r"a\F\b", "a|b"), (r"a\S\b", "a^b"), (r"a\T\b", "a&b"), (r"a\R\b", "a~b"), (r"a\E\b", "a\\b"),
    (r"a\.br\b", "a b"), (r"a\X41\b", "aAb"), (r"a\X0D\b", "a b"), (r"a\H\b\N\c", "abc"),
    (r"a\b", r"a\b"), ('""', ""), ("a\\Zx\\b", "ab"),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "meant"), ESCAPES)
def test_escapes_mean_what_chapter_2_7_says(sent, meant):
    """Separators, line ends, bytes and highlighting become text, or nothing."""
    assert read(f"{HEAD}\nNTE|||{sent}").first("NTE").text(3) == meant


def test_bytes_in_an_escape_are_of_the_messages_character_set():
    """A name whose bytes come as hexadecimal digits is read as the rest of the message is."""
    head = HEAD.split("|")
    head += [""] * (17 - len(head)) + ["UNICODE UTF-8"]
    message = read("|".join(head) + "\rPID|||1||M\\XC3BC\\ller")
    assert message.first("PID").text(5) == "Müller"


def test_other_signs_are_taken_as_msh_gives_them():
    """A message may separate its parts by other signs; its answer uses the same."""
    message = read("MSH#*@!$#RIS#HOSP#####ORM*O01#1#P#2.3\nPID###1*2")
    assert message.type == ("ORM", "O01")
    assert message.first("PID").text(3, 2) == "2"
    answer = er7.acknowledgement(message, "AA", "20260101", "9").decode()
    assert answer.startswith("MSH#*@!$###RIS#HOSP#20260101##ACK*O01*ACK#9#P#2.3\rMSA#AA#1#")


CHARSETS = [
    ("8859/1", "iso8859-1", "Müller"), ("8859/5", "iso8859-5", "Диана"),
    ("8859/7", "iso8859-7", "Διονυσιος"), ("UNICODE UTF-8", "utf-8", "山田^太郎"),
    ("ISO IR87", "iso2022_jp", "山田"), ("~ISO IR87", "iso2022_jp", "山田"),
    ("KS X 1001", "euc_kr", "김희중"), ("GB 18030-2000", "gb18030", "王^小东"),
    ("BIG-5", "big5", "王"),
]  # fmt: skip


@pytest.mark.parametrize(("named", "encoding", "text"), CHARSETS)
def test_text_is_read_by_msh_18(named, encoding, text):
    """Each character set of HL7 table 0211 that the node knows is read as itself."""
    whole = f"{HEAD}||||||{named}\nPID|||1||{text}"
    assert read(whole, encoding=encoding).first("PID").field(5) == text


def test_a_message_without_a_set_is_of_the_default_one():
    """[worklist.hl7] charset says what a sender means that says nothing."""
    sent = f"{HEAD}\nPID|||1||Müller"
    assert read(sent, "8859/1", "iso8859-1").first("PID").text(5) == "Müller"


BAD = [
    (b"", 100), (b"\r\r", 100), (b"PID|||1", 100), (b"MSH", 100), (b"MSH|", 100),
    (b"MSH|^^^^|RIS", 102), (b"MSHABCDE|x", 102),
    (f"{HEAD}\nPID|||1||Müller".encode(), 102),
    (f"{HEAD}||||||UTF-9\nPID".encode(), 102),
    (f"{HEAD}||||||UNICODE UTF-8\nPID|||1||M".encode() + b"\xfc", 102),
]  # fmt: skip


@pytest.mark.p6
@pytest.mark.parametrize(("data", "code"), BAD)
def test_what_cannot_be_read_says_why(data, code):
    """No MSH, signs that are none, text that is not of its set: a code and plain words."""
    with pytest.raises(NotHl7) as found:
        er7.read(data, "ASCII")
    assert found.value.code == code
    assert "ller" not in str(found.value)


def test_the_answer_mirrors_who_asked():
    """Sender and receiver change places, and the message's number comes back (HL7 2.9.2)."""
    message = read(HEAD + "||||||8859/1")
    made = er7.acknowledgement(message, "AE", "20260101", "9", code=101, words="PID-3 | is ^ empty")
    assert made.decode().split("\r") == [
        "MSH|^~\\&|PEN|RAD|RIS|HOSP|20260101||ACK^O01^ACK|9|P|2.5.1||||||8859/1",
        "MSA|AE|17|PID-3   is   empty",
        "ERR|||101^Required field missing^HL70357|E||||PID-3   is   empty",
        "",
    ]


def test_what_is_too_long_is_answered_by_its_head():
    """Of a message that is not read as a whole, MSH is enough for an answer."""
    head = er7.head_of(HEAD.encode() + b"\r" + b"x" * 10_000)
    assert head is not None
    assert head.header.text(10) == "17"
    assert er7.head_of(b"GARBAGE") is None
    assert b"MSA|AR||" in er7.acknowledgement(None, "AR", "20260101", "9")


@given(st.binary(max_size=200) | st.text(alphabet="MSH|^~\\&\rPID0é", max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(data):
    """Whatever comes is a message or NotHl7, and can be answered."""
    message = None
    with contextlib.suppress(NotHl7):
        message = er7.read(b"MSH|^~\\&|" + data, "ASCII")
    with contextlib.suppress(NotHl7):
        message = er7.read(data, "8859/1")
    if message:
        for segment in message.segments:
            segment.text(3, 2, 2)
            segment.repetitions(5)
    assert er7.acknowledgement(message or er7.head_of(data), "AE", "1", "2", words="x")
