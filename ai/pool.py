"""The servers of a model: any number of endpoints, asked as if they were one that does not fail."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

import structlog

from ai import cache, connections, slabs
from ai.cache import Cache
from ai.contract import Served
from ai.endpoint import Endpoint
from ai.group import FRESH_S, Group
from ai.lanes import Lane
from ai.prepared import Tensors
from ai.request import Counts, Moved, Terms
from ai.slabs import Requests
from config.models import Model
from dicom.errors import ConfigFault, InferenceFault, ModelUnavailable

_MOST_MOVES: Final = 5
"""So often a Series is prepared anew because the version changed under way."""
_RECENT_S: Final = 10.0
"""So old may be what is known of the endpoints when a Series is asked about."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered, which model of which server it was, and what that took."""

    served: Served
    arrays: Tensors
    rows: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Of each output: how many rows came with each request; an item's number begins anew there."""
    endpoint: str = ""
    """Who answered, the most of it where there were several; "" where it was kept."""
    endpoints: Mapping[str, int] = field(default_factory=dict)
    """Requests that each endpoint answered."""
    batches: int = 1
    tries: int = 0
    """Calls that were made, those that failed included."""
    seconds: float = 0.0
    waited_s: float = 0.0
    """Seconds that requests waited for their turn, all together."""
    is_cached: bool = False
    by_shared_memory: bool = False
    """Whether tensors went to a server by shared memory, at least in part."""
    healed: int = 0
    """How often a model's process had to be started anew."""

    @property
    def version(self) -> str:
        """The version that answered."""
        return self.served.version


@dataclass(frozen=True, slots=True)
class _Whole:
    """Tensors of a model that takes a Series in one request."""

    only: Tensors
    batches: int = 1
    is_sequence: bool = False

    def tensors(self, batch: int) -> Tensors:
        del batch
        return self.only

    @property
    def pixel_digest(self) -> str:
        return cache.digest(self.only)


class Servers:
    """One client per endpoint, made at first use and kept. Belongs to one event loop."""

    def __init__(self, cache_folder: Path | None = None) -> None:
        """Keep answers in `cache_folder` where a model says `cache_mb`; in memory without one."""
        self._cache_folder = cache_folder
        self._endpoints: dict[connections.Key, Endpoint] = {}
        self._groups: dict[tuple[object, ...], Group] = {}
        self._caches: dict[str, Cache] = {}
        self._latest: tuple[Model, Group] | None = None

    async def describe(self, settings: Model, version: str | None = None) -> Served:
        """Ask what the model is: `version`, that of the settings, or the newest there is.

        What was said a moment ago counts. Raises ModelUnavailable, BadAnswer.
        """
        return await self._group(settings).describe(_wanted(settings, version), FRESH_S)

    async def infer(
        self,
        settings: Model,
        prepare: Callable[[Served], Requests | Tensors],
        *,
        urgent: bool = False,
        version: str | None = None,
        trace: str = "",
    ) -> Answer:
        """Run the model on a Series; `prepare` makes it ready for what is served.

        A Series may be several requests; each goes to the endpoint with the fewest under way, and
        to another when that fails, until `settings.timeout_s` is over. All are answered by one
        version; where that is unloaded meanwhile, `prepare` is called again. `urgent` goes before
        other Series of this process, and first in a queue that has priorities. `version` as of
        `describe`; `trace` is a W3C trace id. Raises ModelUnavailable with each endpoint's reason,
        and BadAnswer or Unsuitable at once: another server would say the same.
        """
        lane = Lane.URGENT if urgent else Lane.BATCH
        return await self._infer(settings, prepare, lane, version, trace)

    async def shadow(
        self, settings: Model, prepare: Callable[[Served], Requests | Tensors], *, trace: str = ""
    ) -> Answer | None:
        """Ask [models.NAME] shadow too, for comparison; None where there is none, or it fails.

        To be called when the live answer is out of the house: it goes behind all live requests,
        and whatever happens is a line in the log.
        """
        if settings.shadow is None:
            return None
        its = shadow_of(settings)
        try:
            return await self._infer(its, prepare, Lane.SHADOW, None, trace)
        except (InferenceFault, ConfigFault) as fault:
            _log.info("shadow not answered", model=its.model, fault=fault.code, reason=str(fault))
            return None

    async def close(self) -> None:
        """Close every connection. What is asked for later connects anew."""
        groups, self._groups = self._groups, {}
        endpoints, self._endpoints = self._endpoints, {}
        self._latest = None
        for group in groups.values():
            await group.close()
        for endpoint in endpoints.values():
            await endpoint.close()

    async def _infer(
        self,
        settings: Model,
        prepare: Callable[[Served], Requests | Tensors],
        lane: Lane,
        version: str | None,
        trace: str,
    ) -> Answer:
        began = monotonic()
        deadline = 0.0
        group, wanted = self._group(settings), _wanted(settings, version)
        for _ in range(_MOST_MOVES):
            served = await group.describe(wanted, _RECENT_S)
            prepared = prepare(served)
            requests = _Whole(prepared) if isinstance(prepared, Mapping) else prepared
            kept, key = self._kept(settings, served, requests)
            if kept is not None and (found := kept.get(key)) is not None:
                its_arrays, its_rows = cache.without_rows(found)
                return Answer(
                    served,
                    its_arrays,
                    its_rows,
                    batches=requests.batches,
                    seconds=monotonic() - began,
                    is_cached=True,
                )
            # The servers' time: that of preparing a Series is not taken from it.
            deadline = deadline or monotonic() + settings.timeout_s
            counts = Counts()
            terms = Terms(group, wanted, served, deadline, lane, trace, counts)
            try:
                arrays, rows = await slabs.ask(terms, requests, settings.in_flight)
            except Moved:
                continue
            if kept is not None:
                kept.put(key, cache.with_rows(arrays, rows))
            return Answer(
                served,
                arrays,
                rows,
                endpoint=max(counts.endpoints, key=lambda each: counts.endpoints[each]),
                endpoints=counts.endpoints,
                batches=requests.batches,
                tries=counts.tries,
                seconds=monotonic() - began,
                waited_s=counts.waited_s,
                by_shared_memory=counts.shared > 0,
                healed=counts.healed,
            )
        raise ModelUnavailable(f"model {settings.model} changes its version again and again")

    def _group(self, settings: Model) -> Group:
        if self._latest is not None and self._latest[0] is settings:
            return self._latest[1]
        group = self._found(settings)
        self._latest = settings, group
        return group

    def _found(self, settings: Model) -> Group:
        keys = connections.keys(settings)
        name = (*keys, settings.model, settings.in_flight, settings.heal)
        if name not in self._groups:
            for key in keys:
                if key not in self._endpoints:
                    self._endpoints[key] = connections.connect(key)
            self._groups[name] = Group(
                [self._endpoints[key] for key in keys],
                settings.model,
                in_flight=settings.in_flight,
                heals=settings.heal,
                turn=os.getpid(),
            )
        return self._groups[name]

    def _kept(
        self, settings: Model, served: Served, requests: Requests
    ) -> tuple[Cache | None, str]:
        if not settings.cache_mb:
            return None, ""
        # Other servers may have another model of the same name.
        name = cache.folder_of(settings.model, settings.endpoints)
        if name not in self._caches:
            folder = self._cache_folder
            self._caches[name] = Cache(
                settings.cache_mb * 1_000_000, None if folder is None else folder / name
            )
        return self._caches[name], cache.key_of(served, requests.pixel_digest)


def shadow_of(settings: Model) -> Model:
    """Give the settings under which the shadow is asked; as they are where there is none."""
    if settings.shadow is None:
        return settings
    model = settings.shadow.model or settings.model
    changes = {"model": model, "version": settings.shadow.version}
    return settings.model_copy(update={**changes, "split": {}, "shadow": None})


def _wanted(settings: Model, version: str | None) -> str:
    return settings.version if version is None else version
