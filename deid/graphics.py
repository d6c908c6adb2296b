"""Graphic annotations cleaned: strokes that could write are taken out (PS3.15 E.3.2, PS3.3 C.10.5).

Points, circles and ellipses mark a place and stay. Lines of any other shape (POLYLINE,
INTERPOLATED, and compound graphics) go, because a name can be written with them, also with many
short ones, and nobody reads them here. Text objects stay; their text is cleaned by the walk.
Overlay planes and curves are strokes, too: they are removed under every option.
"""

from dataclasses import replace
from typing import Final

from deid.parse import Element

ANNOTATIONS: Final = 0x0070_0001
_TEXT_OBJECTS: Final = 0x0070_0008
_GRAPHIC_OBJECTS: Final = 0x0070_0009
_COMPOUND: Final = 0x0070_0209
_GRAPHIC_TYPE: Final = 0x0070_0023
_SHAPES: Final = frozenset({b"POINT", b"CIRCLE", b"ELLIPSE"})

Item = tuple[Element, ...]


def pruned(annotations: Element) -> Element:
    """Take strokes out of GraphicAnnotationSequence, and annotations that then say nothing."""
    items = tuple(_annotation(item) for item in annotations.items or ())
    return replace(annotations, items=tuple(item for item in items if _says_something(item)))


def _annotation(item: Item) -> Item:
    kept: list[Element] = []
    for element in item:
        if element.tag == _COMPOUND:
            continue
        if element.tag == _GRAPHIC_OBJECTS:
            shapes = tuple(each for each in element.items or () if _is_shape(each))
            kept += [replace(element, items=shapes)] if shapes else []
        else:
            kept.append(element)
    return tuple(kept)


def _is_shape(graphic: Item) -> bool:
    return any(
        element.tag == _GRAPHIC_TYPE and bytes(element.value).strip(b"\0 ") in _SHAPES
        for element in graphic
    )


def _says_something(annotation: Item) -> bool:
    return any(each.tag in {_TEXT_OBJECTS, _GRAPHIC_OBJECTS} and each.items for each in annotation)
