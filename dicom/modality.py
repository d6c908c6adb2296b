"""The defined terms of Modality (PS3.3 C.7.3.1.1.1), with retired ones that archives still hold."""

from typing import Final

_TERMS: Final = """
    ANN AR ASMT AU BDUS BI BMD CD CF CP CR CS CT CTPROTOCOL DD DF DG DM DMS DOC DS DX EC ECG EEG
    EMG EOG EPS ES FA FID FS GM HC HD IO IOL IVOCT IVUS KER KO LEN LP LS M3D MA MC MG MR MS NM OAM
    OCT OP OPM OPR OPT OPTBSV OPTENF OPV OSS OT PA PLAN POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE
    RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SC SEG SM SMR SR SRF ST STAIN TEXTUREMAP
    TG US VA VF VIDD XA XAPROTOCOL XC
"""
_KNOWN: Final = frozenset(_TERMS.split())


def is_modality(text: str) -> bool:
    """Whether this is one of the terms; what a scanner made up itself is none."""
    return text in _KNOWN
