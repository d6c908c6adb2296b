"""Make bad streams of good ones: damage at random, where a parser is likely to trust too much.

All chance comes from one random.Random, so that a seed gives the same stream again.
"""

from collections.abc import Callable, Sequence
from random import Random

from tests.fuzz.golden import Golden, split

INTERESTING = (0, 1, 2, 3, 4, 5, 6, 7, 0x20, 0x7F, 0x80, 0xFE, 0xFF)
LENGTHS = (0, 1, 2, 3, 5, 0x101, 4095, 16384, 16384 + 1025, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF)
FIELDS = (0x0001, 0x8001, 0x0010, 0x0020, 0x0021, 0x0030, 0x0100, 0x0110, 0x0130, 0x0FFF, 0x7799)
ODD_PDUS = (
    bytes.fromhex("05000000000400000000"),
    bytes.fromhex("06000000000400000000"),
    bytes.fromhex("07000000000400000000"),
    bytes.fromhex("03000000000400010101"),
    bytes.fromhex("020000000000"),
    bytes.fromhex("040000000000"),
    bytes.fromhex("04000000000600000002") + b"\x01\x03",
    bytes.fromhex("04000000000600000002") + b"\x02\x00",
)
LONGEST = 200_000
"""Bytes of a stream, at most."""

Mutation = Callable[[Random, list[bytes], Sequence[Golden]], None]


def flip(chance: Random, pdus: list[bytes], _: Sequence[Golden]) -> None:
    """Change some bytes anywhere."""
    place, pdu = pick(chance, pdus)
    for _time in range(chance.choice((1, 1, 1, 2, 8))):
        at = chance.randrange(len(pdu))
        value = chance.choice(INTERESTING) if chance.random() < 0.5 else chance.randrange(256)
        pdu[at] = value
    pdus[place] = bytes(pdu)


def flip_head(chance: Random, pdus: list[bytes], _: Sequence[Golden]) -> None:
    """Change a byte of a PDU's or PDV's header, or of the first elements after it."""
    place, pdu = pick(chance, pdus)
    pdu[chance.randrange(min(len(pdu), 24))] = chance.choice(INTERESTING)
    pdus[place] = bytes(pdu)


def lie(chance: Random, pdus: list[bytes], _: Sequence[Golden]) -> None:
    """Write another length of a PDU, PDV, item or element, near the truth or far from it."""
    place, pdu = pick(chance, pdus)
    at, size, order = chance.choice(((2, 4, "big"), (6, 4, "big"), (16, 4, "little"),
                                     (24, 4, "little"), (76, 2, "big")))  # fmt: skip
    true = int.from_bytes(pdu[at : at + size], order)
    value = max(0, true + chance.randrange(-9, 10)) if chance.random() < 0.5 else (
        chance.choice(LENGTHS))  # fmt: skip
    pdu[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, order)
    pdus[place] = bytes(pdu)


def drop(chance: Random, pdus: list[bytes], _: Sequence[Golden]) -> None:
    """Leave a PDU out."""
    if len(pdus) > 1:
        pdus.pop(chance.randrange(len(pdus)))


def double(chance: Random, pdus: list[bytes], _: Sequence[Golden]) -> None:
    """Say a PDU again, somewhere."""
    pdus.insert(chance.randrange(len(pdus) + 1), chance.choice(pdus))


def swap(chance: Random, pdus: list[bytes], _: Sequence[Golden]) -> None:
    """Say two PDUs in each other's place."""
    one, two = chance.randrange(len(pdus)), chance.randrange(len(pdus))
    pdus[one], pdus[two] = pdus[two], pdus[one]


def intrude(chance: Random, pdus: list[bytes], recordings: Sequence[Golden]) -> None:
    """Say something that belongs elsewhere: of another kind, or of another sender."""
    stranger = chance.choice((chance.choice(ODD_PDUS), chance.choice(
        chance.choice(recordings).pdus), chance.randbytes(chance.randrange(1, 40))))  # fmt: skip
    pdus.insert(chance.randrange(len(pdus) + 1), stranger)


def recut(chance: Random, pdus: list[bytes], _: Sequence[Golden]) -> None:
    """Cut a PDU's one PDV into several, in one PDU or in many: no damage by itself."""
    place, pdu = pick(chance, pdus)
    if pdu[0] != 4 or len(pdu) < 14:
        return
    context, control, data = pdu[10], pdu[11], bytes(pdu[12:])
    cuts = sorted(chance.randrange(len(data) + 1) for _time in range(chance.randrange(1, 6)))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    values = [
        (len(piece) + 2).to_bytes(4, "big")
        + bytes([context, control if n == len(pieces) - 1 else control & ~2])
        + piece
        for n, piece in enumerate(pieces)
    ]
    bodies = [b"".join(values)] if chance.random() < 0.5 else values
    pdus[place : place + 1] = [b"\4\0" + len(body).to_bytes(4, "big") + body for body in bodies]


def join(chance: Random, pdus: list[bytes], _: Sequence[Golden]) -> None:
    """Put the PDVs of two neighbours into one PDU: no damage by itself."""
    at = chance.randrange(len(pdus))
    if at + 1 < len(pdus) and pdus[at][:1] == pdus[at + 1][:1] == b"\4":
        body = pdus[at][6:] + pdus[at + 1][6:]
        pdus[at : at + 2] = [b"\4\0" + len(body).to_bytes(4, "big") + body]


def command(chance: Random, pdus: list[bytes], _: Sequence[Golden]) -> None:
    """Change an element of a command set, at its own place: the field, the promise, an id."""
    wanted = chance.choice((0x0100, 0x0100, 0x0110, 0x0120, 0x0700, 0x0800, 0x1000, 0x0002))
    for place, pdu in enumerate(pdus):
        at = pdu.find(b"\0\0" + wanted.to_bytes(2, "little"), 12)
        if pdu[:1] != b"\4" or at < 0 or not pdu[11] & 1 or at + 10 > len(pdu):
            continue
        if chance.random() < 0.6:
            value = chance.choice(FIELDS) if wanted == 0x0100 else (
                chance.choice((0, 1, 0x0101, 0x0102, 0xFFFF)))  # fmt: skip
            changed = pdu[: at + 8] + value.to_bytes(2, "little") + pdu[at + 10 :]
        else:  # the element is gone, as if it never were
            end = at + 8 + int.from_bytes(pdu[at + 4 : at + 8], "little")
            changed = shrunk(pdu[:at] + pdu[end:], end - at)
        pdus[place] = changed
        if chance.random() < 0.7:
            return


def shrunk(pdu: bytes, by: int) -> bytes:
    """Mend the lengths of a PDU with one PDV that lost some bytes."""
    if by >= len(pdu):
        return pdu
    lengths = [int.from_bytes(pdu[at : at + 4], "big") - by for at in (2, 6)]
    if min(lengths) < 0:
        return pdu
    return pdu[:2] + lengths[0].to_bytes(4, "big") + lengths[1].to_bytes(4, "big") + pdu[10:]


def truncate(chance: Random, pdus: list[bytes], _: Sequence[Golden]) -> None:
    """Break off."""
    at = chance.randrange(len(pdus))
    del pdus[at + 1 :]
    pdus[at] = pdus[at][: chance.randrange(1, len(pdus[at]) + 1)]


def lose(chance: Random, pdus: list[bytes], _: Sequence[Golden]) -> None:
    """Lose bytes in the middle, or repeat them, so that all that follows is out of step."""
    place, pdu = pick(chance, pdus)
    at = chance.randrange(len(pdu))
    count = chance.choice((1, 2, 4, 6, 100))
    again = pdu[at : at + count] * 2 if chance.random() < 0.5 else b""
    pdus[place] = bytes(pdu[:at] + again + pdu[at + count :]) or b"\0"


def pick(chance: Random, pdus: list[bytes]) -> tuple[int, bytearray]:
    place = chance.randrange(len(pdus))
    return place, bytearray(pdus[place])


MUTATIONS: tuple[Mutation, ...] = (
    flip, flip_head, flip_head, lie, lie, drop, double, swap, intrude, recut, recut, join,
    command, command, truncate, lose,
)  # fmt: skip


def mutated(chance: Random, pdus: Sequence[bytes], recordings: Sequence[Golden]) -> bytes:
    """Damage a stream in one to five ways; sometimes in none."""
    left = list(pdus)
    for _time in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 5))):
        chance.choice(MUTATIONS)(chance, left, recordings)
        left = [part for whole in left for part in split(whole)]
    return b"".join(left)[:LONGEST]
