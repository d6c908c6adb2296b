"""Names of delivered objects, and what a bucket is asked for, are judged at load."""

import pytest

from config.load import load
from config.object_names import DEFAULT, PLACEHOLDERS, problem
from dicom.errors import ConfigFault

S3 = 'url = "s3://bucket/x"'


@pytest.mark.parametrize(
    "template",
    [
        DEFAULT,
        "{SOPInstanceUID}.dcm",
        "raw/year={year}/{month}/{day}/{Modality}/{rule}/{destination}/{SOPInstanceUID}.dcm",
        "{StudyInstanceUID}/{SeriesInstanceUID}-{SOPInstanceUID}.dcm",
    ],
)
def test_good_templates(template):
    """UIDs, Modality, the day of arrival and the config's own words make names."""
    assert not problem(template)


@pytest.mark.p6
@pytest.mark.parametrize(
    "keyword",
    ["PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "StudyDate", "StudyID",
     "ReferringPhysicianName", "InstitutionName", "SeriesDescription"],
)  # fmt: skip
def test_nothing_of_the_patient(keyword):
    """An attribute that may say who the patient is, is refused, and the words say why."""
    words = problem(f"{{{keyword}}}/{{SOPInstanceUID}}.dcm")
    assert f"{keyword} may say who the patient is" in words
    assert all(each in words for each in PLACEHOLDERS)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{SOPInstanceUUID}.dcm", "no placeholder"),
        ("{}/{SOPInstanceUID}.dcm", "no placeholder"),
        ("{SOPInstanceUID.real}.dcm", "no placeholder"),
        ("{SOPInstanceUID!r}.dcm", "no more"),
        ("{SOPInstanceUID:>99}.dcm", "no more"),
        ("{SOPInstanceUID.dcm", "partner"),
        ("{StudyInstanceUID}.dcm", "must hold {SOPInstanceUID}"),
        ("", "must hold {SOPInstanceUID}"),
        ("../{SOPInstanceUID}.dcm", "begins with ."),
        ("a/../{SOPInstanceUID}.dcm", "begins with ."),
        (".hidden/{SOPInstanceUID}.dcm", "begins with ."),
        ("/{SOPInstanceUID}.dcm", "must not begin"),
        ("a//{SOPInstanceUID}.dcm", "empty"),
        ("a /{SOPInstanceUID}.dcm", "empty"),
        ("a\\\\{SOPInstanceUID}.dcm", "letters, digits"),
        ("ü/{SOPInstanceUID}.dcm", "letters, digits"),
        ("a\n/{SOPInstanceUID}.dcm", "letters, digits"),
        ("{SOPInstanceUID}", "must end in .dcm"),
        ("a" * 300 + "{SOPInstanceUID}.dcm", "longer than"),
    ],
)
def test_bad_templates(template, words):
    """A template that could climb, collide or tell too much is refused with its reason."""
    assert words in problem(template)


def faults(tmp_path, text, kind="object-store"):
    (tmp_path / "node.toml").write_text(f'[destinations.d]\nkind = "{kind}"\n{text}\n')
    with pytest.raises(ConfigFault) as told:
        load(tmp_path / "node.toml")
    return dict(told.value.problems)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        (f'{S3}\nkey = "{{PatientID}}.dcm"', "key", "who the patient is"),
        (f'{S3}\nstorage_class = "STANDARD_AI"', "storage_class", "did you mean 'STANDARD_IA'"),
        (f'{S3}\nstorage_class = "DEEP_ARCHIVE"', "storage_class", "cannot be read again"),
        ('url = "az://c/x"\nstorage_class = "STANDARD_IA"', "storage_class", "no class of Azure"),
        ('url = "az://c/x"\nstorage_class = "Archive"', "storage_class", "cannot be read again"),
        (
            'url = "file:///x"\nstorage_class = "Hot"',
            "storage_class",
            "nothing that a file URL has",
        ),
        ('url = "gs://b/x"\ntags = { a = "b" }', "tags", "nothing that Google"),
        ('url = "file:///x"\ntags = { a = "b" }', "tags", "nothing that a file URL"),
        (f'{S3}\ntags = {{ "a&b" = "c" }}', 'tags."a&b"', "no name of a tag"),
        (f'{S3}\ntags = {{ a = "b,c" }}', "tags.a", "letters, digits"),
        (
            f"{S3}\ntags = {{ {', '.join(map('t{0} = 0'.format, range(11)))} }}",
            "tags",
            "more than 10",
        ),
        ('url = "az://c/x"\nencryption = "sse-s3"', "encryption", "at the bucket"),
        ('url = "gs://c/x"\nencryption = "sse-kms"', "encryption", "at the bucket"),
        (f'{S3}\nencryption = "aes"', "encryption", "must be"),
        (f'{S3}\nkms_key = "k"', "kms_key", "no use without"),
        (f'{S3}\nencryption = "sse-kms"\nkms_key = "a key"', "kms_key", "without spaces"),
        ('url = "gs://c/x"\naccess_key = { env = "HOME" }', "access_key", "service account"),
        ('url = "gs://c/x"\nverify = "checksum"', "verify", "takes none"),
        ('url = "az://c/x"\nverify = "checksum"', "verify", "takes none"),
        (f'{S3}\nverify = "trust"', "verify", "must be"),
    ],
)
def test_what_a_store_does_not_have_is_refused(tmp_path, text, key, words):
    """A key that the store would ignore, or could not honour, is a fault at load."""
    assert words in faults(tmp_path, text)[f"destinations.d.{key}"]


def test_a_folder_takes_a_template_too(tmp_path):
    """The names of files in a folder are judged alike."""
    told = faults(tmp_path, 'path = "x"\nkey = "{PatientID}.dcm"', kind="folder")
    assert "who the patient is" in told["destinations.d.key"]


@pytest.mark.parametrize(
    "text",
    [
        f'{S3}\nstorage_class = "GLACIER_IR"\nencryption = "sse-kms"\nkms_key = "alias/x"',
        f'{S3}\nstorage_class = "DEEP_ARCHIVE"\nverify = "checksum"',
        f'{S3}\nendpoint = "http://127.0.0.1:8333"\nstorage_class = "FAST"',
        'url = "gs://b/x"\nsecret_key = { env = "HOME" }\nstorage_class = "COLDLINE"',
        'url = "az://c/x"\nstorage_class = "Cool"\ntags = { "study/kind" = "a=b" }',
    ],
)
def test_what_a_store_has_is_taken(tmp_path, text):
    """What the store of the URL's scheme knows is accepted."""
    (tmp_path / "node.toml").write_text(f'[destinations.d]\nkind = "object-store"\n{text}\n')
    assert load(tmp_path / "node.toml").destinations["d"]
