"""Pictures for browsers: the right pixels from black to white, in the size and form asked for."""

import io

import numpy as np
import pytest
from PIL import Image


def picture(answer):
    assert answer.status_code == 200, answer.text
    image = Image.open(io.BytesIO(answer.content))
    image.load()
    return image


@pytest.mark.parametrize(
    "name",
    ["ct", "mr-implicit", "mr-big-endian", "mr-rle", "jpeg-baseline", "jpeg-ls",
     "jpeg-2000", "palette", "segmentation", "rgb-planar", "deflated", "dose", "jpeg-lossless"],
)  # fmt: skip
@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png", "image/gif"])
def test_every_kind_of_image_is_shown(shelf, hold, name, media_type):
    """An image of any encoding and colour is a picture of its size in the format asked for."""
    held = hold(name)
    answer = shelf.get(f"{held.url}/rendered", media_type)
    image = picture(answer)
    assert answer.headers["content-type"] == media_type
    assert (
        image.format == {"image/jpeg": "JPEG", "image/png": "PNG", "image/gif": "GIF"}[media_type]
    )
    assert image.size == (held.dataset.Columns, held.dataset.Rows)
    assert (image.mode == "RGB") == (held.dataset.SamplesPerPixel == 3 or name == "palette") or (
        media_type == "image/gif"
    )


def test_a_window_is_applied(shelf, hold):
    """`window` shows its values from black to white, after the rescale."""
    held = hold("ct")
    ds = held.dataset
    values = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    image = picture(shelf.get(f"{held.url}/rendered?window=0,200,linear-exact", "image/png"))
    expected = ((values / 200 + 0.5).clip(0, 1) * 255 + 0.5).astype(np.uint8)
    assert (np.asarray(image) == expected).all()


def test_colours_are_right(shelf, hold):
    """What was stored as RGB comes as the same RGB."""
    held = hold("rgb-planar")
    image = picture(shelf.get(f"{held.url}/rendered", "image/png"))
    assert (np.asarray(image) == held.dataset.pixel_array).all()


@pytest.mark.parametrize(
    ("query", "size"),
    [("viewport=64,64", (64, 64)), ("viewport=64,200", (64, 64)), ("viewport=512,512", (512, 512)),
     ("viewport=100,100,0,0,64,32", (100, 50))],
)  # fmt: skip
def test_the_viewport_is_kept(shelf, hold, query, size):
    """A picture fits into the viewport and keeps its shape."""
    assert picture(shelf.get(f"{hold('ct').url}/rendered?{query}", "image/png")).size == size


def test_quality_makes_smaller_pictures(shelf, hold):
    """`quality` is that of the JPEG."""
    url = f"{hold('ct').url}/rendered"
    sizes = [len(shelf.get(f"{url}?quality={one}", "image/jpeg").content) for one in (10, 95)]
    assert sizes[0] < sizes[1] / 3


@pytest.mark.parametrize(
    "query",
    ["viewport=0,1", "viewport=1", "viewport=99999,1", "viewport=a,b", "window=1", "window=1,-5",
     "window=1,2,cubic", "quality=0", "quality=101", "quality=x", "window=nan,1",
     "viewport=10,10,5000,5000,10,10"],
)  # fmt: skip
def test_wishes_that_make_no_sense(shelf, hold, query):
    """What cannot be meant is 400 or 406 with words, and no picture."""
    answer = shelf.get(f"{hold('ct').url}/rendered?{query}", "image/jpeg")
    assert answer.status_code in {400, 406}
    assert answer.json()["detail"]


def test_frames_are_shown_one_by_one(shelf, hold):
    """A frame has a picture of its own; several come in parts."""
    url = hold("multi-frame").url
    one, two = (shelf.get(f"{url}/frames/{n}/rendered", "image/png").content for n in (1, 10))
    assert one != two
    accept = 'multipart/related; type="image/png"'
    parts = shelf.parts(shelf.get(f"{url}/frames/1,10/rendered", accept))
    assert [body for _, body in parts] == [one, two]
    assert shelf.get(f"{url}/frames/11/rendered", "image/png").status_code == 404


@pytest.mark.parametrize("level", ["/series", "/instances", None])
def test_thumbnails_of_all_levels(shelf, hold, level):
    """A study, a series, an instance and a frame have a small picture."""
    url = hold("dose").url
    where = url.partition(level)[0] if level else f"{url}/frames/2"
    image = picture(shelf.get(f"{where}/thumbnail"))
    assert image.format == "JPEG"
    assert max(image.size) <= 200


def test_a_series_in_pictures(shelf, hold):
    """A series is shown by an instance in its middle, or in parts by all that have an image."""
    names = ["mr", "mr-implicit", "mr-big-endian", "mr-rle"]
    (url,) = {hold(name).url.partition("/instances")[0] for name in names}
    assert picture(shelf.get(f"{url}/rendered", "image/jpeg")).size == (64, 64)
    accept = 'multipart/related; type="image/jpeg"'
    assert len(shelf.parts(shelf.get(f"{url}/rendered", accept))) == len(names)


@pytest.mark.parametrize("path", ["rendered", "thumbnail"])
def test_what_has_no_image_is_406(shelf, hold, path):
    """A report cannot be shown as a picture, and the answer says why."""
    answer = shelf.get(f"{hold('report').url}/{path}", "image/jpeg")
    assert answer.status_code == 406
    assert "no pixel data" in answer.json()["detail"]
    assert shelf.get(f"{hold('ct').url}/{path}", "application/pdf").status_code == 406
    undecodable = shelf.get(f"{hold('jpeg-extended').url}/{path}", "image/jpeg")
    assert undecodable.status_code == 406
