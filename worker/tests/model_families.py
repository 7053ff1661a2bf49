"""A model family without models, and background tasks and a clock that a test controls."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from msaas.background import Tasks
from msaas.errors import ModelUnavailable
from msaas_worker.separators import Separator
from msaas_worker.separators.bag import Bag
from msaas_worker.separators.engine import BagSeparator
from msaas_worker.separators.families import Family, ModelMissing
from msaas_worker.separators.library import Library
from msaas_worker.separators.overlap_add import Runner, Segments

RETRY_S = 300.0


@dataclass
class CountingFamily:
    """A family that counts its calls. Models in `missing` are absent, those in `damaged` cannot be loaded.

    A download succeeds for models that are not missing any more, and for those in `downloadable`.
    """

    missing: set[str] = field(default_factory=set)
    damaged: set[str] = field(default_factory=set)
    downloadable: set[str] = field(default_factory=set)
    on_fetch: Callable[[str], None] = lambda model: None
    loads: list[str] = field(default_factory=list)
    fetches: list[str] = field(default_factory=list)

    def load(self, model: str) -> Separator:
        if model in self.missing:
            raise ModelMissing(f"{model} is missing")
        self.loads.append(model)
        if model in self.damaged:
            raise ModelUnavailable(f"{model} is damaged.")
        runner = Runner(segments=Segments(1, lambda samples: samples), forward=lambda x: x)
        return BagSeparator(
            model=model, bag=Bag.of_equals((), networks=1), runners=(runner,), weights_sha256=""
        )

    def is_present(self, model: str) -> bool:
        return model not in self.missing

    def fetch(self, model: str) -> None:
        self.fetches.append(model)
        self.on_fetch(model)
        self.missing -= self.downloadable & {model}
        if model in self.missing:
            raise ModelUnavailable(f"{model} was not delivered")


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class ManualTasks(Tasks):
    """Tasks that run when the test says so."""

    def __init__(self) -> None:
        super().__init__(threading.Event())
        self.clock = Clock()
        self.names: list[str] = []
        self.wake = threading.Event()
        self.run: Callable[[], None] = lambda: None

    def every(
        self, seconds: float, run: Callable[[], Any], *, name: str, wake: threading.Event | None = None
    ) -> threading.Thread:
        assert (seconds, wake is not None) == (RETRY_S, True)
        self.names.append(name)
        self.run, self.wake = run, wake or self.wake
        return threading.current_thread()


def make_library(family: Family, tasks: ManualTasks, **settings: Any) -> Library:
    return Library(
        lambda model: family,
        default="htdemucs",
        tasks=tasks,
        model_retry_s=RETRY_S,
        clock=tasks.clock,
        **settings,
    )
