"""The sentences of the evidence page: headings of the groups, and what a report cannot prove."""

from typing import Final

_REPLACED: Final = (
    "By a dummy, or by a pseudonym or UID made with the project's key: the same original gives "
    "the same replacement, so that references and follow-ups hold."
)
GROUPS: Final = {
    "removed": ("Removed", "The attribute is gone, with everything in it."),
    "emptied": ("Emptied", "The standard requires the attribute to be there; its value is gone."),
    "replaced": ("Replaced", _REPLACED),
    "shifted": (
        "Shifted",
        "Dates moved by a secret number of whole days, the same one for all of a patient's.",
    ),
    "cleaned": ("Cleaned", "What can identify was taken out of the value; the rest stayed."),
    "refused": ("Refused", "Attributes that the profile does not let pass."),
    "kept": (
        "Kept",
        "As it was; text among it was searched for the patient's identity first.",
    ),
    "other": ("Other", "Actions that this version does not know; ask the version that did them."),
}

DEPARTURES: Final = (
    "Where the base of the profile departs from the table of the standard, which lists what may "
    "identify. These rules are the same for every site."
)
DONE: Final = (
    "Each attribute that occurred in an object that came through, at every depth of nesting. "
    "Values are not part of this report."
)
SELF_CHECK: Final = (
    "The last step searches each finished object for every name, number, date and UID of its "
    "original. A hit keeps the object back."
)

NOT_COVERED: Final = (
    (
        "That nobody can recognise the patient by the images: bodies, implants, rare findings "
        "and faces in head scans can be recognised unless the options above say what was done."
    ),
    (
        "That no text is burned into pixels where no cleaning of pixel data is among the options; "
        "remarks above name objects in which it is common."
    ),
    "That the person cannot be found by combining what was kept with other data.",
    (
        "Identity that the original nowhere names as such: the self-check searches for the names, "
        "numbers, dates and UIDs that it found in the original's own attributes."
    ),
)
