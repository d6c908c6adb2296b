"""Where a benchmark writes in a document: between two marks of its own."""


def placed(document: str, text: str, *, begin: str, end: str) -> str:
    """Put a text between two marks of a document. Raises ValueError when it has none."""
    before, found_begin, rest = document.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"the document has no lines {begin} and {end}")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"
