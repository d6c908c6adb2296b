"""C-ECHO: prove to anyone who may associate that the node listens (PS3.4 Annex A)."""

from collections.abc import Sequence
from typing import Final

from pynetdicom import evt
from pynetdicom.presentation import PresentationContext, build_context

from config.model import Permission
from dicom import status
from node.services.table import Handler

VERIFICATION: Final = "1.2.840.10008.1.1"


class EchoService:
    """Answers every C-ECHO with Success; being let in is all the permission it needs."""

    permission: Permission | None = None

    def contexts(self) -> Sequence[PresentationContext]:
        """Accept Verification in the uncompressed transfer syntaxes."""
        return [build_context(VERIFICATION)]

    def handlers(self) -> Sequence[Handler]:
        """Bind C-ECHO."""
        return [(evt.EVT_C_ECHO, self._echo)]

    def _echo(self, event: evt.Event) -> int:
        del event
        return status.SUCCESS
