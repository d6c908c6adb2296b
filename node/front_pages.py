"""What the web pages show of the front, gathered from its parts."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from config.model import Settings
from dicom.errors import Fault
from node.web.pages.amounts import moment
from node.web.pages.overview import Seen, Target
from storage.index.database import Index

_ASSOCIATIONS: Final = 15
_DAY_S: Final = 86_400
_HOUR_S: Final = 3600
_TIMEOUT_S: Final = 2.0
_MOST: Final = 2000
_HOURS: Final = """
    SELECT date_trunc('hour', instance.received_at) AS hour, coalesce(series.Modality, '') AS m,
        count(*) AS objects
    FROM instance JOIN series USING (StudyInstanceUID, SeriesInstanceUID)
    WHERE instance.received_at >= TIMESTAMP '{since}'
    GROUP BY ALL ORDER BY ALL"""
_JOBS: Final = (
    "SELECT target, state, count(*) FROM job WHERE state IN ('waiting', 'running', 'held')"
    " GROUP BY ALL"
)
_DELIVERED: Final = """
    SELECT destination, count(*) FILTER (delivered_at >= TIMESTAMP '{since}'),
        strftime(max(delivered_at), '%Y-%m-%d %H:%M:%S')
    FROM delivery GROUP BY destination"""


def _day(now: float) -> list[str]:
    """List the hours of the last day."""
    last = int(now // _HOUR_S)
    return [
        moment(_HOUR_S * hour).replace(" ", "T")
        for hour in range(last - _DAY_S // _HOUR_S, last + 1)
    ]


class Looking:
    """Looks at the node for the overview."""

    def __init__(
        self,
        settings: Settings,
        index: Index,
        status: Callable[[], Mapping[str, Any]],
        recall: Callable[..., Sequence[Mapping[str, Any]]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`status` gives what `penumbra status` prints, `recall` the latest associations."""
        self._settings = settings
        self._index = index
        self._status = status
        self._recall = recall
        self._clock = clock

    def __call__(self) -> Seen:
        """Gather; what cannot be had now is told as trouble."""
        since, trouble = moment(self._clock() - _DAY_S), list[str]()
        hours = self._ask(_HOURS.format(since=since), trouble)
        jobs = self._ask(_JOBS, trouble)
        delivered = self._ask(_DELIVERED.format(since=since), trouble)
        shown = [[at.isoformat(), modality, count] for at, modality, count in hours]
        if shown:  # the hours in which nothing came belong to the picture
            shown += [[hour, shown[0][1], 0] for hour in _day(self._clock())]
        associations = self._recall(limit=_ASSOCIATIONS, caller="", only_bad=False, prefix="")
        targets = self._targets(jobs, delivered)
        return Seen(self._status(), associations, targets, shown, tuple(dict.fromkeys(trouble)))

    def _ask(self, text: str, trouble: list[str]) -> Sequence[tuple[Any, ...]]:
        try:
            return self._index.sql(text, timeout_s=_TIMEOUT_S, max_rows=_MOST).rows
        except Fault as fault:
            trouble.append(f"{fault.code}: {fault}")
            return ()

    def _targets(
        self, jobs: Sequence[tuple[Any, ...]], delivered: Sequence[tuple[Any, ...]]
    ) -> list[Target]:
        destinations = self._settings.destinations.items()
        kinds = dict[str, str]({name: one.kind for name, one in destinations})
        kinds |= dict.fromkeys(self._settings.models, "model")
        states = {(target, state): count for target, state, count in jobs}
        sums = {name: (count, at) for name, count, at in delivered}
        made = []
        for name, kind in kinds.items():
            waiting, running, held = (
                states.get((name, state), 0) for state in ("waiting", "running", "held")
            )
            made.append(Target(name, kind, waiting, running, held, *sums.get(name, (0, ""))))
        return made
