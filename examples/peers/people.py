"""Names in many scripts, each with the character set that a modality there would write it in."""

PEOPLE: dict[str, tuple[list[str], str]] = {
    "latin1": (["ISO_IR 100"], "Müller^Jürgen"),
    "latin2": (["ISO_IR 101"], "Wałęsa^Łukasz"),
    "latin3": (["ISO_IR 109"], "Ĉapelo^Ĵaŭdo"),
    "latin4": (["ISO_IR 110"], "Ķēniņš^Gunārs"),
    "latin5": (["ISO_IR 148"], "Çavuşoğlu^Işık"),  # noqa: RUF001  (a dotless i is meant)
    "greek": (["ISO_IR 126"], "Διονυσιος"),
    "russian": (["ISO_IR 144"], "Люкceмбypг"),  # noqa: RUF001  (Cyrillic is meant)
    "arabic": (["ISO_IR 127"], "قباني^لنزار"),
    "hebrew": (["ISO_IR 138"], "שרון^דבורה"),
    "thai": (["ISO_IR 166"], "นามสกุล^ชื่อ"),
    "japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "katakana": (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    "chinese": (["GB18030"], "Wang^XiaoDong=王^小东"),
    "gbk": (["GBK"], "Zhang^Wei=张^伟"),
    "korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "unicode": (["ISO_IR 192"], "Ångström^Łukasz"),
}
