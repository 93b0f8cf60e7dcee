# SPDX-License-Identifier: Apache-2.0
"""Loading and unloading the models of a directory while others are served.

A version is loaded beside the one that serves, in a thread of its own, and takes its place when
it can answer. What can't be loaded changes nothing but the index. The directory may be on a disk
that is slow or gone, so another thread looks at it. All methods but `close` belong to the event
loop.
"""

import asyncio
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from aio.runtime.errors import AioError, InputError, ModelFileError
from aio.runtime.serve.errors import (
    ControlError,
    ModelLoadError,
    RepositoryError,
    UnavailableError,
    UnknownModelError,
)
from aio.runtime.serve.hosting.engine import Engine
from aio.runtime.serve.hosting.repository import (
    Catalogue,
    Entry,
    Fingerprint,
    ModelVersion,
    Repository,
)
from aio.runtime.serve.hosting.states import READY, UNAVAILABLE, ModelState, NotServing
from aio.runtime.serve.hosting.turn import ExecutorTurn
from aio.runtime.serve.scheduling.dispatcher import Dispatcher

if TYPE_CHECKING:
    from aio.runtime.serve.hosting.host import ServedModel

T = TypeVar("T")
Loader = Callable[[Path, ExecutorTurn], Engine]

UNLOADED = "unloaded"
NOT_LOADED = "not loaded"
RELOADING = "being loaded again, as its file has changed"
UNFIT = (
    "this was set with /control and would not hold any more; change it there, or unload the model "
    "first, which forgets what was set"
)
INTERNAL = "internal error while loading; the server's log has the details"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelDirectory:
    """A repository and how it is used.

    Attributes:
        repository: where the models are.
        loader: makes an engine of a model file; runs in a thread of its own.
        at_start: names of the models that must load at the start; none given means all that can.
        control: let clients load and unload.
    """

    repository: Repository
    loader: Loader
    at_start: tuple[str, ...] = ()
    control: bool = False

    def names_at_start(self, catalogue: Catalogue) -> tuple[str, ...]:
        """Return the names of the models to load at the start.

        Raises:
            InputError: one that must load is not there, or nothing is and nothing can come later.
        """
        where = self.repository.folder
        for name in self.at_start:
            if name not in catalogue:
                known = ", ".join(catalogue) or "none"
                raise InputError(
                    f"--load-model {name}: {where} has no such model, there is {known}"
                )
        if not catalogue and not self.control:
            raise InputError(
                f"model repository {where} has no model; add NAME/1/model.aio or NAME.aio, or "
                "start with --model-control explicit to load models later"
            )
        return self.at_start or tuple(catalogue)


class Lifecycle:
    """The models of a directory, and which of them serve.

    Args:
        directory: the models.
        dispatcher: whose thread is held while a model is calibrated.
        serve: makes what answers for an engine under a name and version.
        served: the models that answer, by name; shared with the host, and changed only here.
        most_waiting: calls of `load` and `unload` at one time; one more is refused.
    """

    def __init__(
        self,
        directory: ModelDirectory,
        dispatcher: Dispatcher,
        serve: "Callable[[Engine, str, str], ServedModel]",
        served: "dict[str, ServedModel]",
        most_waiting: int,
    ) -> None:
        self._directory = directory
        self._dispatcher = dispatcher
        self._serve = serve
        self._served = served
        self._most_waiting = most_waiting
        self._closing = threading.Event()
        self._loader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aio-load")
        self._looker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aio-look")
        self._working: set[asyncio.Task[list[ModelState]]] = set()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._loaded_from: dict[str, Fingerprint | None] = {}
        self._others = NotServing()
        self._catalogue: Catalogue = {}  # as it was found last
        self._leaving: set[ServedModel] = set()
        self._unfinished: set[Future[Any]] = set()

    async def start(self) -> None:
        """Load what is to be loaded at the start.

        Raises:
            InputError: there is nothing to load and nothing could be loaded later, or a model
                that must load can't.
            ModelFileError: there are models, and none of them can be loaded.
        """
        catalogue = await self._scan()
        names = self._directory.names_at_start(catalogue)
        for name in names:
            self._others.loading(name, _newest(catalogue[name]))
        for name in await self._look(self._directory.repository.ignored):
            logger.warning("%r in the model repository is not a model by its name", name)
        failures = [failure for name in names if (failure := await self._load_at_start(name))]
        if failures and not self._served:
            raise ModelFileError(failures[0])

    async def load(self, name: str) -> list[ModelState]:
        """Serve the newest version of a model that can be loaded; return what the model is then.

        Nothing is done if it serves already and its file has not changed.

        Raises:
            ControlError: clients may not load.
            UnknownModelError: the directory has no such model.
            ModelLoadError: its newest version can't be loaded. What served before still does.
            RepositoryError: the directory can't be read.
            UnavailableError: too many wait to load.
        """
        self._check_control()
        await self._entry(name)
        return await self._undisturbed(self._load(name))

    async def unload(self, name: str) -> list[ModelState]:
        """Stop serving a model and return what it is then; requests in progress are answered.

        May be called twice.

        Raises:
            ControlError: clients may not unload.
            UnknownModelError: the directory has no such model.
            RepositoryError: the directory can't be read, and the model does not serve.
            UnavailableError: too many wait to load.
        """
        self._check_control()
        entry = None if name in self._served else await self._entry(name)
        return await self._undisturbed(self._unload(name, entry))

    async def index(self) -> list[ModelState]:
        """Return the state of every model of the directory and of every other that serves.

        Of a directory that can't be read, these are the models that were there before.

        Raises:
            RepositoryError: it can't be read, and none is known.
        """
        try:
            await self._scan()
        except RepositoryError as error:
            states = self._all_states()
            if not states:
                raise
            return [
                replace(state, reason="; ".join(filter(None, (state.reason, str(error)))))
                for state in states
            ]
        return self._all_states()

    def why_not(self, name: str, version: str | None = None) -> ModelState | None:
        """Return what is known of a version that does not serve, None if that is nothing.

        No version means any of the model. It is called for every request that names a model which
        does not serve, so the directory is not looked at again.
        """
        states = self._others.of(name)
        if not states and name not in self._served and name in self._catalogue:
            states = [_not_loaded(name, self._catalogue[name])]
        return next((state for state in states if version in {None, state.version}), None)

    def stop(self) -> None:
        """Give up what is being loaded, at its next measurement, and begin nothing more."""
        self._closing.set()
        for thread in (self._loader, self._looker):
            thread.shutdown(wait=False, cancel_futures=True)

    def close(self, timeout_s: float) -> bool:
        """Stop, free what was being retired, and return whether loading ended within the time."""
        self.stop()
        if wait(set(self._unfinished), timeout_s).not_done:
            return False
        for model in self._leaving:
            model.engine.close()
        self._leaving.clear()
        return True

    async def _load_at_start(self, name: str) -> str:
        """Load a model and return what went wrong; raise ModelFileError if it must be there."""
        try:
            await self._load(name)
        except ModelLoadError as error:
            if self._directory.at_start and name not in self._served:
                raise ModelFileError(str(error)) from None
            return str(error)
        return ""

    async def _load(self, name: str) -> list[ModelState]:
        async with self._locks[name]:
            entry = await self._entry(name)
            if entry.problem:
                logger.warning("model %s: %s", name, entry.problem)
                self._others.keep_only(name, ())
                self._others.unavailable(name, "", entry.problem)
                raise self._failure(name, "", entry.problem)
            self._others.keep_only(name, [version.version for version in entry.versions])
            problem = ""
            for version in entry.versions:
                if await self._is_current(name, version):
                    # What was in its place meanwhile may have been tried.
                    self._others.serves(name, version.version)
                    break
                reason = await self._try(name, version)
                if not reason:
                    break
                problem = problem or reason
            if problem:
                raise self._failure(name, entry.versions[0].version, problem)
            return list(self._states(name, entry))

    async def _try(self, name: str, version: ModelVersion) -> str:
        """Serve this version, and return why not if it can't be loaded."""
        self._others.loading(name, version.version)
        fingerprint = await self._look(version.fingerprint)
        made = await self._make(version)
        if isinstance(made, str):
            return self._refuse(name, version, made)
        model = self._serve(made, name, version.version)
        old = self._served.get(name)
        if old is not None:
            try:
                model.settings.change(old.settings.changed)
            except InputError as error:
                await self._retire(model)
                return self._refuse(name, version, f"{error}; {UNFIT}")
        self._served[name] = model  # at once, so that no setting is made in between
        self._loaded_from[name] = fingerprint
        self._others.serves(name, version.version)
        logger.info("model %s: version %s serves", name, version.version)
        if old is not None:
            await self._retire(old)
        return ""

    def _refuse(self, name: str, version: ModelVersion, reason: str) -> str:
        """Note why a version can't be served, and return it."""
        logger.warning("model %s, version %s: %s", name, version.version, reason)
        self._others.unavailable(name, version.version, reason)
        return reason

    async def _make(self, version: ModelVersion) -> Engine | str:
        """Return the engine of a version, or why there is none."""
        if version.path is None:
            return version.problem
        loop = asyncio.get_running_loop()
        turn = ExecutorTurn(self._dispatcher, loop, self._closing)
        work = partial(self._directory.loader, version.path, turn)
        try:
            return await self._in(self._loader, work)
        except AioError as error:
            return str(error).replace(str(version.path), version.shown)
        except Exception:  # whatever a file makes the loader do, the others are served
            logger.exception("model file %s", version.path)
            return INTERNAL

    async def _unload(self, name: str, entry: Entry | None) -> list[ModelState]:
        async with self._locks[name]:
            model = self._served.pop(name, None)
            if model is not None:
                del self._loaded_from[name]
                # Why other versions did not take its place may hold no more, and is not why
                # the model does not serve.
                self._others.keep_only(name, ())
                self._others.unavailable(name, model.spec.version, UNLOADED)
                logger.info("model %s: version %s was unloaded", name, model.spec.version)
                if model.settings.changed:
                    what = "model %s: what was set with /control is forgotten: %s"
                    logger.warning(what, name, model.settings)
                await self._retire(model)
            return list(self._states(name, entry))

    async def _retire(self, model: "ServedModel") -> None:
        """Let a model answer what it has begun, then free it."""
        self._leaving.add(model)
        await model.drain()
        await self._in(self._loader, model.engine.close)
        self._leaving.discard(model)

    async def _scan(self) -> Catalogue:
        """Return what the directory holds now.

        Raises:
            RepositoryError: it can't be read.
        """
        repository = self._directory.repository
        try:
            self._catalogue = await self._look(repository.scan)
        except RepositoryError as error:  # clients are not told where it is
            logger.warning("%s: %s", repository.folder, error)
            raise
        return self._catalogue

    async def _look(self, work: Callable[[], T]) -> T:
        """Return what `work` finds in the directory.

        Raises:
            UnavailableError: the server is stopping.
        """
        if self._closing.is_set():
            raise UnavailableError("the server is stopping")
        return await self._in(self._looker, work)

    async def _in(self, thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        future = thread.submit(work)
        self._unfinished.add(future)
        future.add_done_callback(self._unfinished.discard)
        return await asyncio.wrap_future(future)

    async def _undisturbed(self, work: Coroutine[None, None, list[ModelState]]) -> list[ModelState]:
        """Return what comes of `work`, which goes on when the client that asked for it goes."""
        if len(self._working) >= self._most_waiting:
            work.close()
            raise UnavailableError(
                f"{len(self._working)} models are being loaded or unloaded, which is the limit; "
                "retry later"
            )
        task = asyncio.ensure_future(work)
        self._working.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[list[ModelState]]) -> None:
        self._working.discard(task)
        if not task.cancelled():
            task.exception()  # told to the client, and in the index

    def _all_states(self) -> list[ModelState]:
        return [
            state
            for name in sorted({*self._catalogue, *self._served})
            for state in self._states(name, self._catalogue.get(name))
        ]

    def _states(self, name: str, entry: Entry | None) -> Iterator[ModelState]:
        model = self._served.get(name)
        others = self._others.of(name)
        if model is not None:
            # A file that was replaced under its version: what was loaded before still serves.
            version = model.spec.version
            reasons = [other.reason or RELOADING for other in others if other.version == version]
            yield ModelState(name, version, READY, *reasons)
            others = [other for other in others if other.version != version]
        elif entry is not None and not others:
            yield _not_loaded(name, entry)
        yield from others

    async def _is_current(self, name: str, version: ModelVersion) -> bool:
        model = self._served.get(name)
        if model is None or model.spec.version != version.version:
            return False
        return await self._look(version.fingerprint) == self._loaded_from[name]

    async def _entry(self, name: str) -> Entry:
        try:
            catalogue = await self._scan()
        except RepositoryError as error:
            raise RepositoryError(f"{error}{self._still_serves(name)}") from None
        entry = catalogue.get(name)
        if entry is None:
            known = ", ".join(sorted({*catalogue, *self._served} - {name})) or "none"
            raise UnknownModelError(
                f"the model repository has no model {name[:80]!r}; there is {known}"
                f"{self._still_serves(name)}"
            )
        return entry

    def _still_serves(self, name: str) -> str:
        model = self._served.get(name)
        if model is None:
            return ""
        return f"; version {model.spec.version} of model {name!r} still serves"

    def _failure(self, name: str, version: str, reason: str) -> ModelLoadError:
        model = self._served.get(name)
        what = f"version {version} of model {name!r}" if version else f"model {name!r}"
        serves = "nothing serves" if model is None else f"version {model.spec.version} serves"
        return ModelLoadError(f"{what} can't be loaded, {serves}: {reason}")

    def _check_control(self) -> None:
        if not self._directory.control:
            raise ControlError(
                "models can't be loaded or unloaded by requests; "
                "start the server with --model-control explicit to allow it"
            )


def _newest(entry: Entry) -> str:
    return entry.versions[0].version if entry.versions else ""


def _not_loaded(name: str, entry: Entry) -> ModelState:
    return ModelState(name, _newest(entry), UNAVAILABLE, entry.problem or NOT_LOADED)
