"""Read words: a draft for the report, or why the model does not answer."""

from collections.abc import Iterator
from typing import Final

from ai.finding import Text
from ai.reading.answered import Answered

_LONGEST_REFUSAL: Final = 200
_LONGEST_TEXT: Final = 10_000


def text(said: Answered) -> Iterator[Text]:
    """Read a draft; none where it is empty. Raises BadAnswer."""
    title = said.output.title
    assert title is not None  # ai/declared_outputs.py makes no text without one
    written = "\n".join(dict.fromkeys(filter(None, (_lines(each) for each in _strings(said)))))
    if len(written) > _LONGEST_TEXT:
        raise said.fault(f"is longer than {_LONGEST_TEXT} characters")
    if written:
        yield Text(said.output.name, title, written)


def refusal(said: Answered) -> str:
    """Give why the model does not answer; "" when it does. Raises BadAnswer.

    The words go into logs: one line, no control characters, no more than needed.
    """
    written = dict.fromkeys(filter(None, (_printable(each) for each in _strings(said))))
    return "; ".join(written)[:_LONGEST_REFUSAL]


def _strings(said: Answered) -> Iterator[str]:
    """Give one string, or those of the items, or of the requests that they came in."""
    array = said.array
    flat = array.ndim == 2 and array.shape[1] == 1 and said.by_item
    is_one = array.shape == (1,) or (said.by_item and (array.ndim == 1 or flat) and array.size)
    if array.dtype.kind != "O" or not is_one:
        raise said.fault(f"came as {array.dtype} {list(array.shape)}, not one value")
    for raw in array.reshape(-1):
        if not isinstance(raw, bytes):
            yield str(raw)
            continue
        try:
            yield raw.decode("utf-8")
        except UnicodeDecodeError as fault:
            raise said.fault("is not UTF-8") from fault


def _lines(words: str) -> str:
    return "\n".join(_printable(line).rstrip() for line in words.splitlines()).strip()


def _printable(words: str) -> str:
    return "".join(sign for sign in words if sign.isprintable()).strip()
