"""Score calcium on a cardiac CT after Agatston, between the lungs (Triton Python backend).

In each slice, calcified pixels (130 HU and more) that touch form a lesion where they cover 1 mm2 or
more; its area times a factor by its brightest pixel (1 from 130, 2 from 200, 3 from 300, 4 from
400 HU) is summed over all slices. The score is defined on slices every 3 mm: other distances are
scaled by distance / 3 mm. Counted is what lies between the lungs, before the spine and apart from
bone. Limits: a mediastinal score, not a coronary one: calcium of valves, aorta and lymph nodes
between the lungs counts too, and so does metal; slices without lung on both sides are left out;
motion, partial volume and noise are not corrected. Meant for ECG-gated scans without contrast.
"""

import numpy as np
import triton_python_backend_utils as pb_utils
from scipy import ndimage

CALCIUM_HU = 130
FACTORS_HU = (130, 200, 300, 400)
SMALLEST_MM2 = 1.0
DEFINED_MM = 3.0
"""The distance between slices at which the score is defined."""
THICKNESS_MM = (2.45, 3.05)
KVP = (119.0, 121.0)
RISK_ABOVE = (0.0, 10.0, 100.0, 400.0)
"""The category is the number of these that the score exceeds: 0, to 10, to 100, to 400, more."""
LUNG_BELOW_HU = -400
AIR_MEAN_HU = -960
"""Air on average below this is outside the body, or in the bowel; lung never is."""
PADDING_HU = -1200
"""Below this nothing was measured."""
SMALLEST_LUNG_ML = 100.0
BLOOD_BELOW_HU = 100.0
"""Brighter soft tissue between the lungs holds contrast agent; blood without it has 30 to 60 HU."""
NOISE_BELOW_HU = 30.0
BONE_SHARE = 0.3
"""Bone stands at one place in this share of the slices; a calcification does not."""
BONE_LESION_ML = 5.0
"""What is calcified in one piece larger than this is bone."""
BONE_MARGIN_MM = 3.0
MOST_CALCIUM_ML = 30.0
MIDLINE_MM = 35.0
"""How far from the middle the spine may lie."""
EVERYWHERE = np.ones((3, 3, 3), dtype=bool)
IN_SLICE = np.zeros((3, 3, 3), dtype=bool)
IN_SLICE[1] = True


class Unsuitable(ValueError):  # noqa: N818  (the input's fault, in words for the report)
    """The Series is not what the score is defined for."""


class TritonPythonModel:
    """Triton's entry point; one request is one Series."""

    def execute(self, requests):
        """Answer each request with numbers and a mask, or with the words why there are none."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        given = {
            name: pb_utils.get_input_tensor_by_name(request, name).as_numpy()
            for name in ("volume", "spacing", "kvp", "thickness")
        }
        refusal = ""
        risk = np.zeros(len(RISK_ABOVE) + 1, dtype=np.float32)
        try:
            check(given["spacing"], float(given["kvp"][0]), float(given["thickness"][0]))
            lesions = find(given["volume"], given["spacing"])
            score, volume_mm3, count = measure(given["volume"], lesions, given["spacing"])
            risk[sum(score > least for least in RISK_ABOVE)] = 1
        except Unsuitable as why:
            refusal, score, volume_mm3, count = str(why), 0.0, 0.0, 0
            lesions = np.zeros(given["volume"].shape, dtype=np.uint8)
        answers = {
            "agatston_score": np.array([score], dtype=np.float32),
            "calcium_volume_mm3": np.array([volume_mm3], dtype=np.float32),
            "lesion_count": np.array([count], dtype=np.float32),
            "risk": risk,
            "lesions": lesions.astype(np.uint8),
            "refusal": np.array([refusal.encode()], dtype=np.object_),
        }
        tensors = [pb_utils.Tensor(name, array) for name, array in answers.items()]
        return pb_utils.InferenceResponse(output_tensors=tensors)


def check(spacing, kvp, thickness):
    """Raise Unsuitable when the scan is not one that the score is defined for."""
    if min(spacing) <= 0:
        raise Unsuitable("the spacing is not positive")
    if not KVP[0] <= kvp <= KVP[1]:
        raise Unsuitable(f"scanned with {kvp:g} kV; the thresholds hold for 120 kV")
    for what, value in (("thick", thickness), ("apart", float(spacing[0]))):
        if not THICKNESS_MM[0] <= value <= THICKNESS_MM[1]:
            raise Unsuitable(f"the slices are {value:g} mm {what}; 2.5 to 3 mm is wanted")


def measure(volume, lesions, spacing):
    """Return (Agatston score, calcium volume in mm3, number of lesions) of a mask (z, y, x)."""
    area_mm2 = float(spacing[1] * spacing[2])
    labels, count = ndimage.label(lesions, IN_SLICE)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    peaks = np.full(count + 1, np.iinfo(volume.dtype).min)
    marked = np.nonzero(lesions)
    np.maximum.at(peaks, labels[marked], volume[marked])
    factors = np.searchsorted(FACTORS_HU, peaks[1:], side="right")
    score = float((sizes * factors).sum()) * area_mm2 * float(spacing[0]) / DEFINED_MM
    volume_mm3 = int(sizes.sum()) * area_mm2 * float(spacing[0])
    return score, volume_mm3, ndimage.label(lesions, EVERYWHERE)[1]


def find(volume, spacing):
    """Mark the calcified lesions between the lungs (z, y, x); raises Unsuitable."""
    lungs, middle = find_lungs(volume, spacing)
    inside = between(lungs)
    refuse_contrast_and_noise(volume, inside)
    bright = volume >= CALCIUM_HU
    bones = standing_bones(bright, spacing)
    front_of_spine = find_spine(bones, lungs, middle, spacing)
    inside[:, front_of_spine:] = False
    margin = max(1, round(BONE_MARGIN_MM / spacing[1]))
    inside &= ~ndimage.binary_dilation(bones, iterations=margin)
    labels, count = ndimage.label(bright, EVERYWHERE)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    within = np.bincount(labels[inside], minlength=count + 1)
    voxel_ml = float(np.prod(spacing)) / 1000
    keep = (within > 0.5 * sizes) & (sizes * voxel_ml < BONE_LESION_ML)
    keep[labels[:, rim(volume)]] = False  # cut off: a rib, whose share inside is not known
    keep[0] = False
    lesions = keep[labels] & inside
    lesions = drop_specks(lesions, spacing)
    if lesions.sum() * voxel_ml > MOST_CALCIUM_ML:
        raise Unsuitable(f"more than {MOST_CALCIUM_ML:g} mL of calcium: this is no plain heart")
    return lesions


def drop_specks(lesions, spacing):
    """Leave out what covers less than 1 mm2 in its slice."""
    labels, count = ndimage.label(lesions, IN_SLICE)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    keep = sizes * float(spacing[1] * spacing[2]) >= SMALLEST_MM2
    keep[0] = False
    return keep[labels]


def unmeasured(volume):
    """Mark (y, x) what lies outside a round field of view: filled alike in every slice."""
    return ((volume < PADDING_HU) | (volume == volume.min())).all(axis=0)


def rim(volume):
    """Mark (y, x) the outermost pixels of the field of view."""
    nothing = np.pad(unmeasured(volume), 1, constant_values=True)
    wider = ndimage.binary_dilation(nothing, np.ones((3, 3), dtype=bool))
    return (wider & ~nothing)[1:-1, 1:-1]


def find_lungs(volume, spacing):
    """Return the lungs (z, y, x) and the column between them; raises Unsuitable."""
    # A small field of view cuts lungs and the air round the body alike: what they touch says
    # nothing, what they hold does.
    air = (volume < LUNG_BELOW_HU) & ~unmeasured(volume)
    labels, count = ndimage.label(air)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    means = np.bincount(labels[air], volume[air], minlength=count + 1) / np.maximum(sizes, 1)
    keep = (sizes * float(np.prod(spacing)) / 1000 >= SMALLEST_LUNG_ML / 4) & (means > AIR_MEAN_HU)
    keep[0] = False
    lungs = keep[labels]
    columns = np.flatnonzero(lungs.any(axis=(0, 1)))
    if not columns.size:
        raise Unsuitable("no lungs were found")
    middle = round((columns[0] + columns[-1]) / 2)
    voxel_ml = float(np.prod(spacing)) / 1000
    halves = (lungs[:, :, :middle], lungs[:, :, middle:])
    if min(half.sum() * voxel_ml for half in halves) < SMALLEST_LUNG_ML:
        raise Unsuitable("no lungs were found on both sides of the heart")
    return lungs, middle


def between(lungs):
    """Mark what lies within the convex hull of both lungs in each slice, and is not lung."""
    inside = np.zeros(lungs.shape, dtype=bool)
    columns = np.arange(lungs.shape[2])
    half = lungs.shape[2] // 2
    for z, slice_ in enumerate(lungs):
        if not (slice_[:, :half].any() and slice_[:, half:].any()):
            continue
        rows = np.flatnonzero(slice_.any(axis=1))
        first = slice_[rows].argmax(axis=1)
        last = slice_.shape[1] - 1 - slice_[rows, ::-1].argmax(axis=1)
        span = np.arange(rows[0], rows[-1] + 1)[:, np.newaxis]
        left = -hull_edge(rows, -first, span)
        hull = (columns >= left) & (columns <= hull_edge(rows, last, span))
        # What lung surrounds is a vessel or a calcified node of the lung.
        filled = ndimage.binary_fill_holes(slice_[rows[0] : rows[-1] + 1])
        inside[z, rows[0] : rows[-1] + 1] = hull & ~filled
    return inside


def hull_edge(rows, columns, span):
    """Return, for each row of `span`, the column of the upper convex hull of points."""
    chain = []
    for point in zip(rows.tolist(), columns.tolist(), strict=True):
        while len(chain) > 1 and _turns_up(chain[-2], chain[-1], point):
            chain.pop()
        chain.append(point)
    return np.interp(span, *zip(*chain, strict=True))


def _turns_up(first, second, third):
    (a, b), (c, d), (e, f) = first, second, third
    return (c - a) * (f - b) >= (d - b) * (e - a)


def standing_bones(bright, spacing):
    """Mark (y, x) what is bright at one place in many slices and large: spine and sternum."""
    share = bright.mean(axis=0) >= BONE_SHARE
    labels, count = ndimage.label(share)
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * float(spacing[1] * spacing[2])
    keep = sizes >= 50.0  # mm2; less is a calcification that many slices show
    keep[0] = False
    return keep[labels]


def find_spine(bones, lungs, middle, spacing):
    """Return the first row of the spine; raises Unsuitable."""
    rows = np.flatnonzero(lungs.any(axis=(0, 2)))
    centre = (rows[0] + rows[-1]) // 2
    reach = round(MIDLINE_MM / spacing[2])
    near = bones[:, max(0, middle - reach) : middle + reach].sum(axis=1)
    if near[:centre].sum() >= near[centre:].sum():
        raise Unsuitable("the spine was not found behind the heart")
    return centre + int(np.flatnonzero(near[centre:])[0]) - round(BONE_MARGIN_MM / spacing[1])


def refuse_contrast_and_noise(volume, inside):
    """Raise Unsuitable when the blood is brighter or grainier than the score allows."""
    soft = inside & (volume > -20) & (volume < 600)
    if not soft.any():
        raise Unsuitable("no soft tissue was found between the lungs")
    blood = float(np.median(volume[soft]))
    if blood > BLOOD_BELOW_HU:
        raise Unsuitable(f"soft tissue of {blood:.0f} HU between the lungs: contrast agent")
    pairs = soft[:, :, 1:] & soft[:, :, :-1]
    steps = volume[:, :, 1:][pairs].astype(np.float32) - volume[:, :, :-1][pairs]
    noise = float(np.median(np.abs(steps))) * 1.4826 / np.sqrt(2)
    if noise > NOISE_BELOW_HU:
        raise Unsuitable(f"noise of {noise:.0f} HU; at most {NOISE_BELOW_HU:g} HU is measured")
