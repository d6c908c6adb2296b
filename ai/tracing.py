"""What a request to a model carries so that a trace can be followed through the server.

W3C Trace Context: `traceparent` is version, trace id, the caller's span id, and flags.
"""

import hashlib
import secrets


def trace_id(of: str) -> str:
    """Make a trace id of what is asked for, such as a job: the same for each of its tries."""
    return hashlib.sha256(of.encode()).hexdigest()[:32]


def traceparent(trace: str) -> str:
    """Make the header's value for one request, with a span id of its own."""
    return f"00-{trace}-{secrets.token_hex(8)}-01"
