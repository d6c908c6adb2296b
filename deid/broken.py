"""Say where something broke off that nobody foresaw."""

import traceback


def broke_off(what: str, fault: Exception) -> str:
    """Name a fault's type and place alone: its message may quote the value it stumbled over."""
    place = traceback.extract_tb(fault.__traceback__)[-1]
    return f"{what} broke off ({type(fault).__name__} in {place.name}, line {place.lineno})"
