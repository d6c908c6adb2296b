"""On what terms a worker is given jobs: what the config says of targets, and of the hour."""

from config.model import Settings
from config.windows import Window, read
from routing.terms import Terms
from routing.windows import opens_at


class Timetable:
    """Reads the terms off the config once; the hours of rules anew each minute."""

    def __init__(self, settings: Settings) -> None:
        targets = {**settings.destinations, **settings.models}
        self._limits = {name: one.jobs for name, one in targets.items() if one.jobs is not None}
        self._ordered = frozenset(name for name, one in targets.items() if one.ordered)
        self._windows: dict[str, list[Window]] = {
            rule.name: [read(text) for text in rule.during] for rule in settings.rules
        }
        self._minute = -1
        self._terms = Terms(self._limits, self._ordered)

    def terms(self, now: float) -> Terms:
        """Give the terms at a time, seconds since the epoch."""
        minute = int(now // 60)  # windows open and end at whole minutes
        if minute != self._minute:
            begin = {name: opens_at(windows, now) for name, windows in self._windows.items()}
            asleep = {name: at for name, at in begin.items() if at > now}
            self._minute, self._terms = minute, Terms(self._limits, self._ordered, asleep)
        return self._terms
