"""The table of all specialties: a new one is a file beside this one and a row here."""

from examples.pipelines.cardiac import CARDIAC
from examples.pipelines.chest_ct import CHEST_CT
from examples.pipelines.chest_xray import CHEST_XRAY
from examples.pipelines.ct_qc import CT_QC
from examples.pipelines.mammography import MAMMOGRAPHY
from examples.pipelines.neuro import NEURO
from examples.pipelines.pathology import PATHOLOGY

SPECIALTIES = {
    one.name: one for one in (CHEST_CT, CARDIAC, NEURO, CT_QC, MAMMOGRAPHY, PATHOLOGY, CHEST_XRAY)
}
