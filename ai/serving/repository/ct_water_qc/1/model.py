"""Check a CT scanner on a water phantom: CT number, noise, uniformity (Triton Python backend).

Regions of interest as in IEC 61223-3-5: in the middle a circle of 40 % of the phantom's diameter
gives the mean CT number and the noise (standard deviation); circles of 10 % in the middle
and at 12, 3, 6 and 9 o'clock, 10 mm inside the edge, give the uniformity (the greatest difference
of a mean at the edge from that in the middle). Every slice is measured and the slices are averaged.
Passed: water 0 +- 5 HU and uniformity to 5 HU, the limits of the ACR's CT quality
control manual, and noise to the parameter noise_limit_hu. Limits: noise
has no published limit that holds for every protocol: set it from the scanner's own baseline.
Streaks and rings are not looked for. Meant for a round phantom of water, alone in the image.
"""

import json

import numpy as np
import triton_python_backend_utils as pb_utils
from scipy import ndimage

WATER_WITHIN_HU = 5.0
UNIFORM_WITHIN_HU = 5.0
NOISE_LIMIT_HU = 10.0
OBJECT_HU = -500
DIAMETER_MM = (120.0, 400.0)
ROUND_WITHIN = 0.03
"""How far height and width, and area and circle, may differ."""
PLAIN_WITHIN_HU = 50.0
"""What is further from 0 HU, or varies more, in the middle is something else than water."""
CENTRAL, SMALL = 0.4, 0.1
"""Diameters of the regions, as shares of the phantom's."""
EDGE_MM = 10.0


class Unsuitable(ValueError):  # noqa: N818  (the input's fault, in words for the report)
    """The Series shows no water phantom."""


class TritonPythonModel:
    """Triton's entry point; one request is one Series."""

    def initialize(self, args):
        """Read the limit of noise from the model's config."""
        parameters = json.loads(args["model_config"]).get("parameters", {})
        limit = parameters.get("noise_limit_hu", {}).get("string_value")
        self.noise_limit_hu = float(limit) if limit else NOISE_LIMIT_HU

    def execute(self, requests):
        """Answer each request with numbers and regions, or with the words why there are none."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        volume = pb_utils.get_input_tensor_by_name(request, "volume").as_numpy()
        spacing = pb_utils.get_input_tensor_by_name(request, "spacing").as_numpy()
        refusal, regions = "", np.zeros(volume.shape, dtype=np.uint8)
        numbers, verdicts = (0.0,) * 4, (False,) * 4
        try:
            numbers = measure(volume, spacing, regions)
            verdicts = judge(numbers, self.noise_limit_hu)
        except Unsuitable as why:
            refusal = str(why)
        names = ("water_hu", "noise_hu", "uniformity_hu", "diameter_mm")
        answers = {
            **{
                name: np.array([number], dtype=np.float32)
                for name, number in zip(names, numbers, strict=True)
            },
            "quality": np.array(verdicts, dtype=np.float32),
            "regions": regions,
            "refusal": np.array([refusal.encode()], dtype=np.object_),
        }
        tensors = [pb_utils.Tensor(name, array) for name, array in answers.items()]
        return pb_utils.InferenceResponse(output_tensors=tensors)


def judge(numbers, noise_limit_hu):
    """Return (passed in all, water, uniformity, noise)."""
    water, noise, uniformity, _ = numbers
    each = (
        abs(water) <= WATER_WITHIN_HU,
        uniformity <= UNIFORM_WITHIN_HU,
        noise <= noise_limit_hu,
    )
    return all(each), *each


def measure(volume, spacing, regions):
    """Return (water HU, noise HU, uniformity HU, diameter mm) of a volume (z, y, x).

    Marks in `regions` the middle with 1 and the edge with 2. Raises Unsuitable.
    """
    if min(spacing) <= 0:
        raise Unsuitable("the spacing is not positive")
    rows = np.array([_slice(volume[z], spacing[1:], regions[z]) for z in range(len(volume))])
    water, noise, *edges, centre, diameter = rows.mean(axis=0)
    uniformity = max(abs(edge - centre) for edge in edges)
    return float(water), float(noise), float(uniformity), float(diameter)


def _slice(image, spacing, regions):
    row, column, diameter_mm = locate(image, spacing)
    down = (np.arange(image.shape[0]) - row)[:, np.newaxis] * spacing[0]
    right = (np.arange(image.shape[1]) - column)[np.newaxis, :] * spacing[1]

    def circle(y_mm, x_mm, share):
        return (down - y_mm) ** 2 + (right - x_mm) ** 2 <= (share * diameter_mm / 2) ** 2

    central = image[circle(0, 0, CENTRAL)].astype(np.float64)
    if abs(central.mean()) > PLAIN_WITHIN_HU or central.std() > PLAIN_WITHIN_HU:
        raise Unsuitable(
            f"{central.mean():.0f} HU with a deviation of {central.std():.0f} HU is no plain water"
        )
    out = diameter_mm / 2 - EDGE_MM - SMALL * diameter_mm / 2
    places = ((-out, 0), (0, out), (out, 0), (0, -out))
    edges = [circle(*place, SMALL) for place in places]
    regions[circle(0, 0, CENTRAL)] = 1
    regions[np.logical_or.reduce(edges)] = 2
    centre = image[circle(0, 0, SMALL)].mean()
    return (
        central.mean(),
        central.std(),
        *(image[edge].mean() for edge in edges),
        centre,
        diameter_mm,
    )


def locate(image, spacing):
    """Return (row, column, diameter in mm) of the round object; raises Unsuitable."""
    labels, count = ndimage.label(image > OBJECT_HU)
    if not count:
        raise Unsuitable("the image is empty")
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    inside = ndimage.binary_fill_holes(labels == sizes.argmax())
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    height = (rows[-1] - rows[0] + 1) * spacing[0]
    width = (columns[-1] - columns[0] + 1) * spacing[1]
    diameter = 2 * np.sqrt(inside.sum() * spacing[0] * spacing[1] / np.pi)
    if max(abs(height / diameter - 1), abs(width / diameter - 1)) > ROUND_WITHIN:
        raise Unsuitable(f"the object is not round ({height:.0f} x {width:.0f} mm)")
    if not DIAMETER_MM[0] <= diameter <= DIAMETER_MM[1]:
        raise Unsuitable(f"the object is {diameter:.0f} mm wide; a phantom has 120 to 400 mm")
    if (
        rows[0] == 0
        or columns[0] == 0
        or rows[-1] + 1 == len(image)
        or columns[-1] + 1 == image.shape[1]
    ):
        raise Unsuitable("the object reaches the edge of the image")
    centre = ndimage.center_of_mass(inside)
    return *centre, float(diameter)
