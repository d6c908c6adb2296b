"""Measure a mammogram: breast density, and candidates for micro-calcifications (Triton Python).

One request is one image "for presentation", bright where much is absorbed. The breast is the
largest region brighter than air that touches a side; in oblique views the pectoral muscle is cut
off along the straight line of the steepest fall. Dense is what lies above Otsu's threshold (1979)
of the rest; density is its share of the breast's area. Candidates are bright round spots of 0.15
to 1 mm found by a difference of Gaussians; five or more within 1 cm2 are a cluster.
Limits: area, not volume; a muscle with a curved border leaves a rim; scars, clips, artefacts and
calcified vessels are not told apart; nothing here says benign or malignant.
"""

import numpy as np
import triton_python_backend_utils as pb_utils
from scipy import ndimage

COARSE_MM = 0.4
"""Density is measured on pixels of about this size, so that noise does not count as tissue."""
AIR_SHARE = 0.08
"""What is less than this share of the range above the darkest is air."""
SKIN_MM = 4.0
"""The rim in which the breast is thinner; it does not choose the threshold."""
SEPARABLE_FROM = 0.78
"""Otsu's share of the variance that lies between the two classes; 0.75 for values of one kind."""
CATEGORIES = (25.0, 50.0, 75.0)
"""Upper ends of categories a, b and c, in percent."""
SPOT_SIGMAS_MM = (0.08, 0.14, 0.24)
SPOT_FROM_DEVIATIONS = 7.0
SPOT_FROM_CONTRAST = 0.04
"""Of the breast's range of values, over the surroundings within 1 mm."""
SPOT_LARGEST_MM = 1.0
SPOT_LONGEST = 2.5
"""Length over width; longer ones are vessels or edges."""
MOST_SPOTS = 500
CLUSTER_FROM = 5
CLUSTER_RADIUS_MM = 5.642
"""Of a circle of 1 cm2."""
LARGEST_PIXEL_MM = 0.2


class TritonPythonModel:
    """Triton's entry point; one request is one image (1, y, x)."""

    def execute(self, requests):
        """Answer each request with what was measured, or with the words why not."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        images = pb_utils.get_input_tensor_by_name(request, "images").as_numpy()
        spacing = pb_utils.get_input_tensor_by_name(request, "spacing").as_numpy().ravel()
        if len(images) != 1:
            raise pb_utils.TritonModelException("one image a request; write batch: 1")
        found, refusal = measure(images[0], [float(step) for step in spacing])
        found["refusal"] = np.array([refusal.encode()], dtype=np.object_)
        return pb_utils.InferenceResponse(
            output_tensors=[pb_utils.Tensor(name, array) for name, array in found.items()]
        )


def measure(image, spacing):
    """Return (arrays by output name, refusal) of one image (y, x) and its mm between pixels."""
    if not 0 < min(spacing) <= max(spacing) <= LARGEST_PIXEL_MM + 1e-5:
        return nothing(), f"the pixels are not between 0 and {LARGEST_PIXEL_MM:g} mm"
    if not np.isfinite(image).all():
        return nothing(), "the image holds values that are no numbers"
    breast = Breast(image, spacing)
    if breast.refusal:
        return nothing(), breast.refusal
    spots = find_spots(breast)
    clusters = find_clusters(spots, spacing)
    percent = 100.0 * breast.dense.sum() / breast.tissue.sum()
    category = int(np.searchsorted(CATEGORIES, percent, side="left"))
    return {
        "density_percent": np.array([[percent]], dtype=np.float32),
        "category": np.eye(4, dtype=np.float32)[[category]],
        "calcifications": spots,
        "clusters": clusters,
        "calcification_count": np.array([[len(spots)]], dtype=np.float32),
        "cluster_count": np.array([[len(clusters)]], dtype=np.float32),
    }, ""


def nothing():
    """Give the arrays that go with a refusal."""
    return {
        "density_percent": np.zeros((1, 1), np.float32),
        "category": np.zeros((1, 4), np.float32),
        "calcifications": np.zeros((0, 4), np.float32),
        "clusters": np.zeros((0, 6), np.float32),
        "calcification_count": np.zeros((1, 1), np.float32),
        "cluster_count": np.zeros((1, 1), np.float32),
    }


class Breast:
    """Where breast, muscle and dense tissue are, on coarse pixels; `refusal` says why nowhere."""

    def __init__(self, image, spacing):
        self.image, self.spacing, self.refusal = image, spacing, ""
        self.step = [max(1, round(COARSE_MM / each)) for each in spacing]
        self.coarse = block_mean(image, self.step)
        self.coarse_mm = [step * each for step, each in zip(self.step, spacing, strict=True)]
        low, high = np.percentile(self.coarse, (1, 99.5))
        self.air, self.range = float(low), float(high - low)
        if self.range <= 0:
            self.refusal = "the image is of one value"
            return
        self.whole = largest(self.coarse > low + AIR_SHARE * self.range)
        self._check_place()
        if self.refusal:
            return
        self.muscle = muscle(self)
        self.tissue = self.whole & ~self.muscle
        self._part()

    def _check_place(self):
        share = self.whole.mean()
        sides = (self.whole[:, 0].mean(), self.whole[:, -1].mean())
        if not 0.05 <= share <= 0.95:
            self.refusal = "no breast surrounded by dark air was found"
        elif max(sides) < 0.2:
            self.refusal = "the breast does not touch the side of the chest wall"
        elif min(sides) > 0.2:
            self.refusal = "there is no dark air opposite to the chest wall"
        self.is_left = sides[0] >= sides[1]
        """Whether the chest wall is at the left of the image."""

    def _part(self):
        rim = [max(1, round(SKIN_MM / each)) for each in self.coarse_mm]
        inside = (
            self.tissue
            & eroded(self.whole, rim)
            & ~ndimage.binary_dilation(
                self.muscle, iterations=max(1, round(1.0 / self.coarse_mm[0]))
            )
        )
        if inside.sum() < 100:
            self.refusal = "there is too little breast to measure"
            return
        threshold, separable = otsu(self.coarse[inside])
        if separable < SEPARABLE_FROM:
            self.refusal = "fat and dense tissue cannot be told apart by their brightness"
            return
        self.dense = self.tissue & (self.coarse >= threshold)


def block_mean(image, step):
    """Average blocks of step[0] x step[1] pixels; what does not fill a block is left out."""
    rows, columns = (length // each * each for length, each in zip(image.shape, step, strict=True))
    blocks = image[:rows, :columns].reshape(rows // step[0], step[0], columns // step[1], step[1])
    return blocks.mean(axis=(1, 3), dtype=np.float64)


def largest(mask):
    """Keep the largest connected region, without holes."""
    labels, count = ndimage.label(mask)
    if not count:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return ndimage.binary_fill_holes(labels == sizes.argmax())


def eroded(mask, steps):
    """Take a rim off, but not where the image ends."""
    padded = np.pad(mask, [(steps[0],) * 2, (steps[1],) * 2], mode="edge")
    away = ndimage.distance_transform_edt(padded, sampling=[1 / step for step in steps])
    return (away > 1)[steps[0] : -steps[0], steps[1] : -steps[1]]


def otsu(values):
    """Return (threshold, share of the variance between the classes)."""
    counts, edges = np.histogram(values, bins=512, range=np.percentile(values, (0.2, 99.8)))
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1].astype(np.float64)
    above = counts.sum() - below
    sums = np.cumsum(counts * middles)
    means = sums[:-1] / np.maximum(below, 1), (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    between = below * above * (means[0] - means[1]) ** 2
    best = between == between.max()
    whole = counts.sum() ** 2 * np.average((middles - sums[-1] / counts.sum()) ** 2, weights=counts)
    return float(edges[1:-1][best].mean()), float(between.max() / max(whole, 1e-9))


def muscle(breast):
    """Mark the pectoral muscle: the corner that the straight line of the steepest fall cuts off.

    Of all lines from the upper edge to the chest wall, that with the greatest mean fall from the
    corner's side to the other. None where the fall is small or breaks off along the line.
    """
    values = breast.coarse if breast.is_left else breast.coarse[:, ::-1]
    whole = breast.whole if breast.is_left else breast.whole[:, ::-1]
    smooth = ndimage.gaussian_filter(values, 1.0)
    mm = breast.coarse_mm
    top = np.arange(12.0, values.shape[1] * mm[1], 2.0)
    side = np.arange(25.0, values.shape[0] * mm[0], 2.0)
    empty = np.zeros(values.shape, dtype=bool)
    line, _ = steepest((smooth, whole, mm), top, side, 1.6)
    if line is None:
        return empty
    for reach in (2.0, 0.5):
        near = np.linspace(-reach, reach, 17)
        line, fall = steepest((smooth, whole, mm), line[0] + near, line[1] + near, 0.8)
        if line is None:
            return empty
    if fall < 0.1 * breast.range:
        return empty
    y = (np.arange(values.shape[0])[:, np.newaxis] + 0.5) * mm[0]
    x = (np.arange(values.shape[1])[np.newaxis] + 0.5) * mm[1]
    found = whole & (x / line[0] + y / line[1] < 1)
    return found if breast.is_left else found[:, ::-1]


def steepest(picture, top, side, away_mm):
    """Find ((mm along the upper edge, mm down the chest wall), mean fall), or (None, 0).

    `picture` is the smooth image, the whole breast's mask, and the mm between pixels.
    """
    a, b = (grid[..., np.newaxis] for grid in np.meshgrid(top, side, indexing="ij"))
    along = np.linspace(0.03, 0.97, 64)
    x, y = a * (1 - along), b * along
    length = np.hypot(a, b)
    out_x, out_y = b / length * away_mm, a / length * away_mm
    inner, inner_in = sampled(*picture, y - out_y, x - out_x)
    outer, outer_in = sampled(*picture, y + out_y, x + out_x)
    falls = np.where(inner_in & outer_in, inner - outer, 0)
    mean = falls.mean(axis=-1)
    # A muscle's border falls nearly everywhere; the edge of a gland does along a part.
    steady = (falls > 0.3 * mean[..., np.newaxis]).mean(axis=-1) >= 0.8
    mean = np.where(steady & (mean > 0), mean, 0)
    if not mean.any():
        return None, 0.0
    at = np.unravel_index(mean.argmax(), mean.shape)
    return (float(top[at[0]]), float(side[at[1]])), float(mean[at])


def sampled(smooth, whole, mm, y, x):
    """Give values at places in mm, and whether they lie in the breast or beside the image."""
    places = np.stack(np.broadcast_arrays(y / mm[0] - 0.5, x / mm[1] - 0.5))
    values = ndimage.map_coordinates(smooth, places, order=1, mode="nearest")
    rows, columns = (
        np.clip(np.rint(axis).astype(int), 0, size - 1)
        for axis, size in zip(places, smooth.shape, strict=True)
    )
    return values, whole[rows, columns]


def find_spots(breast):
    """Find candidates: FP32 (count, 4) of item, row, column, score, best first."""
    mm = breast.spacing
    image = np.ascontiguousarray(breast.image, dtype=np.float32)
    inside = np.zeros(image.shape, dtype=bool)
    rim = [max(1, round(1.5 / each)) for each in breast.coarse_mm]
    fine = np.kron(eroded(breast.tissue, rim), np.ones(breast.step, dtype=bool))
    inside[: fine.shape[0], : fine.shape[1]] = fine
    best = np.full(image.shape, -np.inf, dtype=np.float32)
    for sigma in SPOT_SIGMAS_MM:
        narrow = ndimage.gaussian_filter(image, [sigma / each for each in mm])
        response = narrow - ndimage.gaussian_filter(image, [1.6 * sigma / each for each in mm])
        noise = 1.4826 * np.median(np.abs(response[inside])) or 1.0
        np.maximum(best, response / noise, out=best)
    best[~inside] = -np.inf
    size = [max(3, 2 * round(0.25 / each) + 1) for each in mm]
    peaks = (best >= SPOT_FROM_DEVIATIONS) & (best == ndimage.maximum_filter(best, size))
    rows, columns = np.nonzero(peaks)
    order = np.argsort(best[rows, columns])[::-1][: 4 * MOST_SPOTS]
    least = SPOT_FROM_CONTRAST * breast.range
    spots = []
    for row, column in zip(rows[order], columns[order], strict=True):
        place = spot_at(image, row, column, mm, least)
        if place is not None:
            score = 1 - SPOT_FROM_DEVIATIONS / max(float(best[row, column]), SPOT_FROM_DEVIATIONS)
            spots.append((0.0, *place, score))
    return np.array(spots[:MOST_SPOTS], dtype=np.float32).reshape(-1, 4)


def spot_at(image, row, column, mm, least):
    """Give a peak's (row, column) where it is a bright round spot, small enough; else None.

    What is left of the surroundings when a disc of the largest size has been rolled beneath them
    (white top-hat) stands out from fat, from gland, and from the border between the two.
    """
    reach = [round(2.0 / each) for each in mm]
    top, left = max(0, row - reach[0]), max(0, column - reach[1])
    window = image[top : row + reach[0] + 1, left : column + reach[1] + 1]
    window = ndimage.gaussian_filter(window, [0.06 / each for each in mm])
    over = window - ndimage.grey_opening(window, footprint=disc(SPOT_LARGEST_MM, mm))
    over -= np.median(over)
    y, x = np.indices(window.shape)
    away = np.hypot((y + top - row) * mm[0], (x + left - column) * mm[1])
    height = float(over[away <= max(mm)].mean())
    if height < least:
        return None
    labels, _ = ndimage.label(over > height / 2)
    mine = labels == labels[row - top, column - left]
    if not labels[row - top, column - left]:
        return None
    diameter = 2 * np.sqrt(mine.sum() * mm[0] * mm[1] / np.pi)
    if not 0.1 <= diameter <= SPOT_LARGEST_MM or long(y[mine] * mm[0], x[mine] * mm[1]):
        return None
    return float(y[mine].mean() + top + 0.5), float(x[mine].mean() + left + 0.5)


def disc(diameter_mm, mm):
    """Mark the pixels of a disc."""
    reach = [round(diameter_mm / 2 / each) for each in mm]
    y, x = np.ogrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    return np.hypot(y * mm[0], x * mm[1]) <= diameter_mm / 2


def long(y, x):
    """Whether places in mm lie along a line rather than in a round spot."""
    if len(y) < 6:
        return False
    small, large = np.linalg.eigvalsh(np.cov(np.stack([y, x])))
    return large > SPOT_LONGEST**2 * max(small, 1e-6)


def find_clusters(spots, spacing):
    """Find clusters: FP32 (count, 6) of item, top, left, bottom, right, score."""
    places = spots[:, 1:3].astype(np.float64) * spacing
    if len(places) < CLUSTER_FROM:
        return np.zeros((0, 6), np.float32)
    away = np.hypot(*(places[:, np.newaxis] - places[np.newaxis]).transpose(2, 0, 1))
    near = away <= CLUSTER_RADIUS_MM
    cores = near.sum(axis=1) >= CLUSTER_FROM
    linked = near & (cores[:, np.newaxis] | cores[np.newaxis])
    group = np.arange(len(places))
    for _ in range(len(places)):
        lower = np.where(linked, group[np.newaxis], len(places)).min(axis=1)
        lower = np.minimum(lower, group)
        if (lower == group).all():
            break
        group = lower
    rows = []
    for one in np.unique(group[cores]):
        mine = spots[group == one]
        if len(mine) < CLUSTER_FROM:
            continue
        margin = 1.0 / np.array(spacing)
        first, last = mine[:, 1:3].min(axis=0) - margin, mine[:, 1:3].max(axis=0) + margin
        rows.append((0.0, *np.maximum(first, 0), *last, float(mine[:, 3].mean())))
    return np.array(rows, dtype=np.float32).reshape(-1, 6)
