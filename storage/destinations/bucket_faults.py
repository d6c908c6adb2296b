"""What obstore raises, told as Faults: whether to try again, and what an administrator can do."""

import contextlib
import re
from collections.abc import Iterator
from typing import Final

from obstore import exceptions

from dicom.errors import Busy, DeliveryFault, Refused, Unreachable

_STATUS: Final = re.compile(r"\bstatus code: ([1-5]\d\d)\b")
_BUSY: Final = frozenset({"429", "503"})
_TRY_AGAIN: Final = frozenset({"408", "409", "425"})
_THROTTLED: Final = ("SlowDown", "TooManyRequests", "ServerBusy", "RequestLimitExceeded")
_SLOW: Final = ("RequestTimeout",)
"""What S3 says with status 400 to a body that dried up."""
_SPOILT: Final = ("BadDigest", "XAmzContentSHA256Mismatch", "Md5Mismatch", "InvalidDigest",
                  "XAmzContentChecksumMismatch", "IncompleteBody")  # fmt: skip
"""What stores say with status 400 to a body that is not what its checksum promised."""
_PARTS_GONE: Final = ("NoSuchUpload", "InvalidBlockList", "InvalidPart")
"""What stores say where an upload in parts was ended by somebody else."""
_NO_BUCKET: Final = ("NoSuchBucket", "ContainerNotFound")
"""What stores say where there is no such bucket; some say it while they start."""
_EXPIRED: Final = ("ExpiredToken", "TokenRefreshRequired", "RequestTimeTooSkewed")
_MISCONFIGURED: Final = ("builder error", "BareRedirect", "BadScheme", "InvalidUri")

_DENIED: Final = "access denied; check access_key, secret_key, policy"
_OLD: Final = "the credentials have expired, or this machine's clock is wrong; renew them"


@contextlib.contextmanager
def as_faults(where: str) -> Iterator[None]:
    """Raise Refused, Busy or Unreachable for whatever obstore raises in the block."""
    try:
        yield
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as fault:
        is_old = any(sign in str(fault) for sign in _EXPIRED)
        raise Refused(f"{where}: {_OLD if is_old else _DENIED}") from fault
    except (exceptions.NotFoundError, FileNotFoundError) as fault:
        if any(sign in str(fault) for sign in _PARTS_GONE):
            raise Unreachable(f"{where}: lost parts of an upload") from fault
        if any(sign in str(fault) for sign in _NO_BUCKET):
            raise Unreachable(f"{where}: no such bucket; make it, or mend the url") from fault
        raise Refused(f"{where}: no such bucket or object") from fault
    except (exceptions.BaseError, OSError) as fault:
        raise judge(where, str(fault)) from fault
    except (ValueError, NotImplementedError) as fault:
        raise Refused(f"{where}: the settings cannot be used") from fault


def judge(where: str, words: str) -> DeliveryFault:
    """Say what kind of trouble a store's generic error is; its words stay out of ours."""
    found = _STATUS.search(words)
    status = found[1] if found else ""
    if status in _BUSY or any(sign in words for sign in _THROTTLED):
        return Busy(f"{where}: asks to slow down")
    if status.startswith("4") and status not in _TRY_AGAIN:
        return _client_error(where, status, words)
    if status.startswith("3") or any(sign in words for sign in _MISCONFIGURED):
        return Refused(f"{where}: check endpoint and region")
    return Unreachable(f"{where}: {f'answered {status}' if status else 'does not answer'}")


def _client_error(where: str, status: str, words: str) -> DeliveryFault:
    if any(sign in words for sign in _SLOW):
        return Unreachable(f"{where}: waited in vain for our data")
    if any(sign in words for sign in _PARTS_GONE):
        return Unreachable(f"{where}: lost parts of an upload")
    if any(sign in words for sign in _SPOILT):
        return Unreachable(f"{where}: got other bytes than were sent, and refused them")
    if any(sign in words for sign in _EXPIRED):
        return Refused(f"{where}: {_OLD}")
    if status in {"401", "403"}:
        return Refused(f"{where}: {_DENIED}")
    return Refused(f"{where}: answered {status}; check url, endpoint and region")
