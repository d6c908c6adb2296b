"""Take the URLs of a config file apart, and say what must not stand in one."""

from typing import Any
from urllib.parse import SplitResult, urlsplit


def plain_words(url: SplitResult) -> str:
    """Say what a URL holds that has no place in it; "" for nothing."""
    if "@" in url.netloc:
        return "holds a user or a password; these are keys of their own"
    return "must not have ? or #" if url.query or url.fragment else ""


def split(text: Any) -> SplitResult | None:
    """Take a URL apart: None for what is no text, all empty for what is no URL."""
    if not isinstance(text, str):
        return None
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        return SplitResult("", "", "", "", "")
    return url


def bucket_words(url: SplitResult) -> str:
    """Say why a URL names no bucket and prefix, and no folder laid out like one; "" if it does."""
    if url.scheme == "file":
        from_root = not url.netloc and len(url.path) > 1
        return "" if from_root else "must name a folder from the root: file:///folder"
    if not url.netloc:
        return "names no bucket: s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
    return plain_words(url)
