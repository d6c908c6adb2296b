"""Measure emphysema on a chest CT: lung volume, LAA-950 and Perc15 (Triton Python backend).

The lungs are the largest air components below -400 HU that do not touch the sides of the image.
LAA-950 is the share of lung voxels at or below -950 HU, Perc15 the HU value that 15 % of them do
not exceed. The mask says 1 for lung above -950 HU and 2 for the low-attenuation area. Limits: no
correction for noise, kernel, inspiration or contrast; airways that join the lungs are counted as
lung; meant for inspiratory, non-contrast scans of 5 mm or less.
"""

import numpy as np
import triton_python_backend_utils as pb_utils
from scipy import ndimage

LUNG_BELOW_HU = -400
LOW_ATTENUATION_HU = -950
PERCENTILE = 0.15
SMALLEST_LUNGS_ML = 300.0
SECOND_LUNG_SHARE = 0.1
"""A second component smaller than this share of the first is an airway or bowel gas."""
LOWEST_HU = -1200
"""Below this lies padding outside the field of view, never tissue or air."""


class TritonPythonModel:
    """Triton's entry point; one request is one Series."""

    def execute(self, requests):
        """Answer each request with numbers, or with the words why there are none."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        volume = pb_utils.get_input_tensor_by_name(request, "volume").as_numpy()
        spacing = pb_utils.get_input_tensor_by_name(request, "spacing").as_numpy()
        numbers, regions, refusal = measure(volume, [float(step) for step in spacing])
        names = ("lung_volume_ml", "laa950_percent", "perc15_hu")
        tensors = [
            pb_utils.Tensor(name, np.array([number], dtype=np.float32))
            for name, number in zip(names, numbers, strict=True)
        ]
        tensors.append(pb_utils.Tensor("regions", regions))
        tensors.append(pb_utils.Tensor("refusal", np.array([refusal.encode()], dtype=np.object_)))
        return pb_utils.InferenceResponse(output_tensors=tensors)


def measure(volume, spacing):
    """Return ((volume mL, LAA-950 %, Perc15 HU), mask, refusal) of an HU volume (z, y, x)."""
    nothing = (0.0, 0.0, 0.0), np.zeros(volume.shape, dtype=np.uint8)
    if min(spacing) <= 0:
        return *nothing, "the spacing is not positive"
    voxel_ml = spacing[0] * spacing[1] * spacing[2] / 1000
    lungs = lung_mask(volume)
    histogram = np.bincount(volume[lungs].astype(np.int32) - LOWEST_HU)
    voxels = int(histogram.sum())
    if voxels * voxel_ml < SMALLEST_LUNGS_ML:
        return *nothing, f"no lungs were found (less than {SMALLEST_LUNGS_ML:.0f} mL of air inside)"
    low = int(histogram[: LOW_ATTENUATION_HU - LOWEST_HU + 1].sum())
    perc15 = int(np.searchsorted(np.cumsum(histogram), PERCENTILE * voxels)) + LOWEST_HU
    regions = lungs.astype(np.uint8) << (volume <= LOW_ATTENUATION_HU)
    return (voxels * voxel_ml, 100 * low / voxels, float(perc15)), regions, ""


def lung_mask(volume):
    """Mark the voxels of the one or two largest inner air components (z, y, x)."""
    air = (volume < LUNG_BELOW_HU) & (volume >= LOWEST_HU)
    labels, count = ndimage.label(air)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    sides = (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1])
    for side in sides:
        sizes[np.unique(side)] = 0
    keep = np.zeros(sizes.shape, dtype=bool)
    ranked = np.argsort(sizes)[::-1][:2]
    keep[ranked] = sizes[ranked] > SECOND_LUNG_SHARE * sizes[ranked[0]]
    return keep[labels]
