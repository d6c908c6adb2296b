"""The data dictionary without the rest of pydicom."""

from pydicom.datadict import DicomDictionary, dictionary_VM, dictionary_VR, keyword_dict

from dicom.keywords import tag_for_keyword, tags, vm_of_tag, vr_of_tag


def test_it_is_pydicoms_own():
    """Every keyword has the tag, VR and VM that pydicom knows."""
    assert dict(tags()) == keyword_dict
    for tag in DicomDictionary:
        assert (vr_of_tag(tag), vm_of_tag(tag)) == (dictionary_VR(tag), dictionary_VM(tag))
    assert tag_for_keyword("Modality") == 0x00080060
    assert tag_for_keyword("Modalities") is None
