"""What a config file may say of the worklist, and what it is told when it says it wrong."""

import pytest

from config.load import load
from dicom.errors import ConfigFault

BAD = {
    "no addresses": ("[worklist.hl7]\n", "worklist.hl7.addresses"),
    "an empty list": ("[worklist.hl7]\naddresses = []\n", "worklist.hl7.addresses"),
    "a host name": ('[worklist.hl7]\naddresses = ["ris"]\n', "worklist.hl7.addresses[0]"),
    "a set that is none": (
        '[worklist.hl7]\naddresses = ["10.1.2.3"]\ncharset = "utf8"\n', "worklist.hl7.charset",
    ),
    "a title that is none": (
        '[worklist.stations]\nCT = "a title that is too long"\n', "worklist.stations.CT",
    ),
    "the API's port": (
        '[worklist.hl7]\naddresses = ["10.1.2.3"]\nport = 8080\n', "worklist.hl7.port",
    ),
    "a setting that is none": ('[worklist]\nfolders = "x"\n', "worklist.folders"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "place"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_named(tmp_path, text, place):
    """Each fault has the place of its setting."""
    (tmp_path / "node.toml").write_text(text)
    with pytest.raises(ConfigFault) as found:
        load(tmp_path / "node.toml")
    assert place in [where for where, _ in found.value.problems]


def test_without_a_table_nothing_listens(tmp_path):
    """The defaults open no port, look into no folder, and keep entries for a week."""
    (tmp_path / "node.toml").write_text("")
    worklist = load(tmp_path / "node.toml").worklist
    assert (worklist.folder, worklist.hl7, worklist.keep_days) == (None, None, 7)


def test_a_folder_is_beside_the_config(tmp_path):
    """A relative path is taken from the config file's folder."""
    (tmp_path / "node.toml").write_text('[worklist]\nfolder = "wl"\n')
    assert load(tmp_path / "node.toml").worklist.folder == tmp_path / "wl"
