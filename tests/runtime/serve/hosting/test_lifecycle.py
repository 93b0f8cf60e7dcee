# SPDX-License-Identifier: Apache-2.0
"""Models of a directory come and go while requests are answered."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fake_engine import SHAPE, FakeEngine

from aio.runtime.errors import AioError, InputError, ModelFileError
from aio.runtime.records import LevelInfo
from aio.runtime.serve.errors import (
    ControlError,
    ModelLoadError,
    RepositoryError,
    UnavailableError,
    UnknownModelError,
)
from aio.runtime.serve.hosting.host import Host, ServedModel, State
from aio.runtime.serve.hosting.lifecycle import ModelDirectory
from aio.runtime.serve.hosting.repository import Entry, Repository
from aio.runtime.serve.hosting.settings import Settings
from aio.runtime.serve.hosting.states import ModelState
from aio.runtime.serve.protocol.schema import InferRequest, InferResult
from aio.runtime.serve.scheduling.dispatcher import Dispatcher

if TYPE_CHECKING:
    from aio.runtime.serve.hosting.turn import ExecutorTurn

REQUEST = InferRequest(None, {"image": np.ones((1, *SHAPE), np.float32)}, ())

ACCURACIES = {"good": 0.9, "better": 0.95, "worse": 0.8}  # of the densest level


def accurate(best: float | None) -> tuple[LevelInfo, ...]:
    """Return levels of falling accuracy, or without any."""
    found = [best and best - step / 10 for step in range(3)]
    return tuple(LevelInfo(i, i / 4, found[i], 1, 1, None) for i in range(3))


async def infer(model: ServedModel) -> InferResult:
    return await model.infer(REQUEST, 0.0, lambda result: result)


@dataclass
class Shelf:
    """A directory whose model files say in words what loading them does."""

    root: Path
    engines: dict[str, FakeEngine] = field(default_factory=dict)
    # Set: loading passes. Cleared: it waits.
    passing: threading.Event = field(default_factory=threading.Event)
    calibrating: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.passing.set()

    def put(self, place: str, text: str = "good") -> None:
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def load(self, path: Path, turn: ExecutorTurn) -> FakeEngine:
        text = path.read_text()
        if text == "broken":
            raise ModelFileError(f"{path}: is no model")
        if text == "bug":
            raise RuntimeError("secret")
        with turn:
            self.calibrating.set()
            while not self.passing.wait(0.01):
                turn.offer()
        engine = FakeEngine(name=text, levels=accurate(ACCURACIES.get(text)))
        self.engines[f"{path.relative_to(self.root)}:{text}"] = engine
        return engine

    def directory(self, *at_start: str, control: bool = True) -> ModelDirectory:
        return ModelDirectory(Repository(self.root), self.load, at_start, control)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def with_host(
    directory: ModelDirectory, scenario: Callable[[Host], Awaitable[None]], limit: int = 64
) -> Host:
    """Run a scenario with a host that has opened the directory."""
    host = Host(Dispatcher(limit))

    async def run() -> None:
        await host.open(directory)
        await scenario(host)

    try:
        asyncio.run(run())
    finally:
        assert host.close(timeout_s=10)
    return host


async def rows(host: Host) -> list[tuple[str, str, str, str]]:
    return [(s.name, s.version, s.state, s.reason) for s in await host.index()]


async def calibrating(host: Host, shelf: Shelf, name: str) -> asyncio.Future[list[ModelState]]:
    """Load a model up to its calibration, which then waits for `shelf.passing`."""
    shelf.passing.clear()
    shelf.calibrating.clear()
    loading = asyncio.ensure_future(host.load_model(name))
    while not shelf.calibrating.is_set():
        await asyncio.sleep(0.001)
    return loading


def test_all_models_load_at_the_start_and_the_newest_version_serves(shelf: Shelf) -> None:
    for place in ("a/1/model.aio", "a/10/model.aio", "a/9/model.aio", "b.aio"):
        shelf.put(place)

    async def scenario(host: Host) -> None:
        assert host.state is State.READY
        assert await rows(host) == [("a", "10", "READY", ""), ("b", "1", "READY", "")]
        assert host.find("a") is host.find("a", "10")
        assert (host.find("b").spec.name, host.find("b").spec.version) == ("b", "1")
        with pytest.raises(UnknownModelError, match="no version '9'; there is 10"):
            host.find("a", "9")
        await infer(host.find("a"))

    with_host(shelf.directory(), scenario)
    assert all(engine.closed for engine in shelf.engines.values())
    assert len(shelf.engines) == 2


def test_a_broken_new_version_leaves_the_old_one_serving(shelf: Shelf) -> None:
    shelf.put("a/1/model.aio")

    async def scenario(host: Host) -> None:
        served = host.find("a")
        for text, said in (("broken", "a/2/model.aio: is no model"), ("bug", "internal error")):
            shelf.put("a/2/model.aio", text)
            with pytest.raises(ModelLoadError, match="version 2 of model 'a'") as caught:
                await host.load_model("a")
            assert "version 1 serves" in str(caught.value)
            assert said in str(caught.value)
            assert str(shelf.root) not in str(caught.value)
            assert "secret" not in str(caught.value)
            assert host.find("a") is served
            (ready, unavailable) = await rows(host)
            assert ready == ("a", "1", "READY", "")
            assert unavailable[:3] == ("a", "2", "UNAVAILABLE")
            assert said in unavailable[3]
            await infer(served)
            with pytest.raises(UnknownModelError) as absent:
                host.find("a", "2")
            assert str(absent.value) == (
                f"version 2 of model 'a' does not serve, version 1 does: {unavailable[3]}"
            )
        assert await host.index(ready_only=True) == (await host.index())[:1]
        shelf.put("a/2/model.aio", "good")
        await host.load_model("a")
        assert await rows(host) == [("a", "2", "READY", "")]
        assert shelf.engines["a/1/model.aio:good"].closed

    with_host(shelf.directory(), scenario)


def test_a_file_replaced_under_its_version_is_loaded_again_and_only_then(shelf: Shelf) -> None:
    shelf.put("a.aio")

    async def scenario(host: Host) -> None:
        served = host.find("a")
        await host.load_model("a")
        assert host.find("a") is served
        shelf.put("a.aio", "broken")
        with pytest.raises(ModelLoadError):
            await host.load_model("a")
        assert await rows(host) == [("a", "1", "READY", "a.aio: is no model")]
        shelf.put("a.aio", "better")
        await host.load_model("a")
        assert host.find("a").engine.name == "better"
        assert await rows(host) == [("a", "1", "READY", "")]

    with_host(shelf.directory(), scenario)


def test_a_directory_that_is_gone_is_not_an_empty_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf(tmp_path / "models")
    shelf.put("a.aio")
    shelf.put("b/3/model.aio")
    why = "the model repository can't be read: No such file or directory"

    async def scenario(host: Host) -> None:
        shelf.root.rename(tmp_path / "away")
        assert await rows(host) == [
            ("a", "1", "READY", why),
            ("b", "3", "UNAVAILABLE", f"not loaded; {why}"),
        ]
        assert str(shelf.root) in caplog.text  # for who can mend it
        for name, serves in (("a", "; version 1 of model 'a' still serves"), ("b", ""), ("c", "")):
            with pytest.raises(RepositoryError) as caught:
                await host.load_model(name)
            assert str(caught.value) == f"{why}{serves}"
        with pytest.raises(RepositoryError):
            await host.unload_model("b")
        await infer(host.find("a"))
        assert await host.unload_model("a") == [ModelState("a", "1", "UNAVAILABLE", "unloaded")]
        with pytest.raises(UnknownModelError, match="'b' does not serve: not loaded"):
            host.find("b")
        (tmp_path / "away").rename(shelf.root)
        await host.load_model("a")
        assert (await rows(host))[0] == ("a", "1", "READY", "")

    with_host(shelf.directory("a"), scenario)


def test_the_index_of_nothing_says_that_the_directory_is_gone(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "models")
    shelf.root.mkdir()

    async def scenario(host: Host) -> None:
        shelf.root.rmdir()
        with pytest.raises(RepositoryError, match="can't be read"):
            await host.index()

    with_host(shelf.directory(), scenario)


def test_a_link_to_another_release_is_followed_by_a_load(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "r1")
    shelf.put("a.aio")
    (tmp_path / "r2").mkdir()
    (tmp_path / "r2" / "a.aio").write_text("better")
    (tmp_path / "current").symlink_to("r1")

    def load(path: Path, turn: ExecutorTurn) -> FakeEngine:
        return FakeEngine(name=path.read_text())

    async def scenario(host: Host) -> None:
        (tmp_path / "next").symlink_to("r2")
        (tmp_path / "next").replace(tmp_path / "current")
        assert host.find("a").engine.name == "good"
        assert await host.load_model("a") == [ModelState("a", "1", "READY")]
        assert host.find("a").engine.name == "better"

    with_host(ModelDirectory(Repository(tmp_path / "current"), load, control=True), scenario)


def test_a_file_that_is_put_back_is_as_good_as_before(shelf: Shelf) -> None:
    shelf.put("a.aio")

    async def scenario(host: Host) -> None:
        served = host.find("a")
        (shelf.root / "a.aio").rename(shelf.root / "kept")
        shelf.put("a.aio", "broken")
        with pytest.raises(ModelLoadError):
            await host.load_model("a")
        (shelf.root / "kept").replace(shelf.root / "a.aio")
        assert await host.load_model("a") == [ModelState("a", "1", "READY")]
        assert host.find("a") is served
        assert await rows(host) == [("a", "1", "READY", "")]

    with_host(shelf.directory(), scenario)


def test_what_was_set_goes_over_to_the_next_version(shelf: Shelf) -> None:
    shelf.put("a/1/model.aio")

    async def scenario(host: Host) -> None:
        host.find("a").settings.change({"target_ms": 20.0, "min_accuracy": 0.85})
        shelf.put("a/2/model.aio", "better")
        loading = await calibrating(host, shelf, "a")
        # Set while the new version is being loaded: it counts for that one too.
        host.find("a").settings.change({"battery_target_ms": 40.0})
        shelf.passing.set()
        await loading
        model = host.find("a", "2")
        assert Settings.of(model.engine) == Settings(20.0, 40.0, 0.85)
        assert model.engine.allowed_levels == (0, 1)
        model.settings.change(dict.fromkeys(Settings._fields))
        assert Settings.of(model.engine) == Settings(1.0, None, None)  # as at the start
        shelf.put("a/2/model.aio", "good")
        await host.load_model("a")
        assert Settings.of(host.find("a").engine) == Settings(1.0, None, None)

    with_host(shelf.directory(), scenario)


@pytest.mark.parametrize(
    ("text", "said"),
    [("worse", "min_accuracy=0.85: the best level has 0.8"), ("unknown", "records no accuracy")],
)
def test_a_version_that_does_not_keep_the_floor_is_not_served(
    shelf: Shelf, text: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.put("a/1/model.aio")

    async def scenario(host: Host) -> None:
        served = host.find("a")
        served.settings.change({"min_accuracy": 0.85})
        shelf.put("a/2/model.aio", text)
        with pytest.raises(ModelLoadError, match="version 1 serves: ") as caught:
            await host.load_model("a")
        for told in (str(caught.value), caplog.text, (await rows(host))[1][3]):
            assert said in told
            assert "this was set with /control" in told
        assert host.find("a") is served
        assert served.engine.min_accuracy == 0.85
        assert shelf.engines[f"a/2/model.aio:{text}"].closed
        served.settings.change({"min_accuracy": None})
        await host.load_model("a")
        assert await rows(host) == [("a", "2", "READY", "")]

    with_host(shelf.directory(), scenario)


def test_an_unloaded_model_says_so_whatever_was_wrong_with_other_versions(shelf: Shelf) -> None:
    shelf.put("a/1/model.aio")

    async def scenario(host: Host) -> None:
        host.find("a").settings.change({"min_accuracy": 0.85})
        shelf.put("a/2/model.aio", "worse")
        with pytest.raises(ModelLoadError):
            await host.load_model("a")
        assert await host.unload_model("a") == [ModelState("a", "1", "UNAVAILABLE", "unloaded")]
        with pytest.raises(UnknownModelError, match=r"'a' does not serve: unloaded$"):
            host.find("a")
        assert (await host.load_model("a"))[0] == ModelState("a", "2", "READY")

    with_host(shelf.directory(), scenario)


def test_unloading_forgets_what_was_set_and_says_so(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.put("a.aio")

    async def scenario(host: Host) -> None:
        await host.unload_model("a")
        await host.load_model("a")
        assert not caplog.text
        host.find("a").settings.change({"target_ms": 20.0, "min_accuracy": 0.85})
        await host.unload_model("a")
        assert "forgotten: target_ms=20, min_accuracy=0.85" in caplog.text
        await host.load_model("a")
        assert Settings.of(host.find("a").engine) == Settings(1.0, None, None)

    with_host(shelf.directory(), scenario)


def test_taking_the_newest_version_away_brings_back_the_one_before(shelf: Shelf) -> None:
    shelf.put("a/1/model.aio")
    shelf.put("a/2/model.aio")

    async def scenario(host: Host) -> None:
        shutil.rmtree(shelf.root / "a" / "2")
        assert host.find("a").spec.version == "2"
        await host.load_model("a")
        assert host.find("a").spec.version == "1"

    with_host(shelf.directory(), scenario)


def test_a_name_that_is_there_twice_changes_nothing(shelf: Shelf) -> None:
    shelf.put("a/1/model.aio")

    async def scenario(host: Host) -> None:
        served = host.find("a")
        shelf.put("a.aio")
        with pytest.raises(ModelLoadError, match="version 1 serves: there are both"):
            await host.load_model("a")
        assert host.find("a") is served
        assert [row[:3] for row in await rows(host)] == [
            ("a", "1", "READY"),
            ("a", "", "UNAVAILABLE"),
        ]

    with_host(shelf.directory(), scenario)


def test_unload_answers_what_was_begun(shelf: Shelf) -> None:
    shelf.put("a.aio")
    shelf.put("b.aio")

    async def scenario(host: Host) -> None:
        model = host.find("a")
        engine = shelf.engines["a.aio:good"]
        engine.passing.clear()
        request = asyncio.ensure_future(infer(model))
        while not engine.calls:
            await asyncio.sleep(0.001)
        unloading = asyncio.ensure_future(host.unload_model("a"))
        while (await host.index())[0].state == "READY":
            await asyncio.sleep(0.001)
        with pytest.raises(UnknownModelError, match="model 'a' does not serve: unloaded"):
            host.find("a")
        with pytest.raises(UnavailableError, match="replaced or unloaded"):
            await infer(model)
        assert not unloading.done()
        assert not engine.closed
        engine.passing.set()
        assert (await request).record is engine.record
        await unloading
        assert engine.closed
        assert await rows(host) == [("a", "1", "UNAVAILABLE", "unloaded"), ("b", "1", "READY", "")]
        await host.unload_model("a")  # once more is no error
        await host.load_model("a")
        assert (await rows(host))[0] == ("a", "1", "READY", "")

    with_host(shelf.directory(), scenario)


def test_an_answer_tells_what_its_own_operation_came_to(shelf: Shelf) -> None:
    shelf.put("a.aio")
    shelf.put("b.aio")

    async def scenario(host: Host) -> None:
        ready = ModelState("a", "1", "READY")
        unloaded = ModelState("a", "1", "UNAVAILABLE", "unloaded")
        # All are asked for before the first has ended, so each ends in a state of its own.
        answers = await asyncio.gather(
            host.load_model("a"), host.unload_model("a"), host.load_model("a"), host.load_model("a")
        )
        assert [*answers] == [[ready], [unloaded], [ready], [ready]]

    with_host(shelf.directory(), scenario)


def test_a_model_named_like_the_statistics(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    shelf.put("a.aio")
    shelf.put("stats.aio")

    async def scenario(host: Host) -> None:
        assert "model stats: no model can be named stats" in caplog.text
        _, stats = await rows(host)
        assert stats[:3] == ("stats", "", "UNAVAILABLE")
        assert "/v2/models/stats is the statistics" in stats[3]
        with pytest.raises(ModelLoadError, match="no model can be named stats"):
            await host.load_model("stats")

    with_host(shelf.directory(), scenario)


def test_unloading_what_was_never_loaded(shelf: Shelf) -> None:
    shelf.put("a/1/model.aio")
    shelf.put("b.aio")

    async def scenario(host: Host) -> None:
        assert await host.unload_model("b") == [ModelState("b", "1", "UNAVAILABLE", "not loaded")]

    with_host(shelf.directory("a"), scenario)


def test_a_model_that_was_removed_and_still_serves(shelf: Shelf) -> None:
    shelf.put("a.aio")
    shelf.put("b/3/model.aio")

    async def scenario(host: Host) -> None:
        shutil.rmtree(shelf.root / "b")
        with pytest.raises(UnknownModelError) as caught:
            await host.load_model("b")
        assert str(caught.value) == (
            "the model repository has no model 'b'; there is a; version 3 of model 'b' still serves"
        )
        await infer(host.find("b"))
        assert await host.unload_model("b") == [ModelState("b", "3", "UNAVAILABLE", "unloaded")]
        with pytest.raises(UnknownModelError, match=r"there is a$"):
            await host.load_model("b")

    with_host(shelf.directory(), scenario)


def test_versions_that_do_not_serve(shelf: Shelf) -> None:
    shelf.put("a/1/model.aio", "broken")
    shelf.put("b/1/model.aio")

    async def scenario(host: Host) -> None:
        for version in ("1", "7"):
            with pytest.raises(UnknownModelError, match="'a' does not serve: a/1"):
                host.find("a", version)
        shelf.put("b/2/model.aio")
        loading = await calibrating(host, shelf, "b")
        assert host.find("b").spec.version == "1"
        with pytest.raises(UnavailableError, match="being loaded"):
            host.find("b", "2")
        shelf.passing.set()
        assert await loading == [ModelState("b", "2", "READY")]
        await host.unload_model("b")
        loading = await calibrating(host, shelf, "b")
        for version in ("1", "2"):  # either may be what serves in the end
            with pytest.raises(UnavailableError, match="being loaded"):
                host.find("b", version)
        shelf.passing.set()
        await loading

    with_host(shelf.directory(), scenario)


def test_other_models_answer_while_one_is_calibrated(shelf: Shelf) -> None:
    shelf.put("a.aio")

    async def scenario(host: Host) -> None:
        shelf.put("b/1/model.aio")
        assert (await rows(host))[1] == ("b", "1", "UNAVAILABLE", "not loaded")
        loading = await calibrating(host, shelf, "b")
        assert (await rows(host))[1][:3] == ("b", "1", "LOADING")
        with pytest.raises(UnavailableError, match="being loaded"):
            host.find("b")
        await asyncio.gather(*(infer(host.find("a")) for _ in range(5)))
        assert not loading.done()
        shelf.passing.set()
        await loading
        await infer(host.find("b"))

    with_host(shelf.directory(), scenario)


def test_loads_of_one_model_come_one_after_the_other(shelf: Shelf) -> None:
    shelf.put("a.aio")

    async def scenario(host: Host) -> None:
        shelf.put("a.aio", "better")
        calls = [host.load_model("a"), host.unload_model("a"), host.load_model("a")]
        await asyncio.gather(*calls, host.load_model("a"))
        assert await rows(host) == [("a", "1", "READY", "")]
        await infer(host.find("a"))

    with_host(shelf.directory(), scenario)


def test_too_many_loads_are_refused(shelf: Shelf) -> None:
    shelf.put("a.aio")

    async def scenario(host: Host) -> None:
        shelf.put("b.aio")
        shelf.passing.clear()
        results = asyncio.gather(*(host.load_model("b") for _ in range(20)), return_exceptions=True)
        await asyncio.sleep(0)
        shelf.passing.set()
        failed = [result for result in await results if not isinstance(result, list)]
        assert len(failed) == 12
        assert all(isinstance(error, UnavailableError) for error in failed)
        assert (await rows(host))[1] == ("b", "1", "READY", "")

    with_host(shelf.directory(), scenario)


def test_a_load_goes_on_when_its_client_goes_away(shelf: Shelf) -> None:
    shelf.put("a.aio")

    async def scenario(host: Host) -> None:
        shelf.put("b.aio")
        loading = await calibrating(host, shelf, "b")
        loading.cancel()
        shelf.passing.set()
        while (await rows(host))[1][2] != "READY":
            await asyncio.sleep(0.001)
        assert (await infer(host.find("b"))).record.level == 0

    with_host(shelf.directory(), scenario)


@pytest.mark.parametrize(
    "name", ["..", "../a", "a/1", "a.aio", "", "A", "a\0", "/etc/passwd", "\uff41"]
)
def test_a_name_is_looked_up_and_never_opened(shelf: Shelf, name: str) -> None:
    shelf.put("a/1/model.aio")

    async def scenario(host: Host) -> None:
        for call in (host.load_model, host.unload_model):
            with pytest.raises(UnknownModelError, match="the model repository has no model"):
                await call(name)
        with pytest.raises(UnknownModelError):
            host.find(name)

    with_host(shelf.directory(), scenario)


def test_without_control_nothing_changes(shelf: Shelf) -> None:
    shelf.put("a.aio")

    async def scenario(host: Host) -> None:
        for call in (host.load_model, host.unload_model):
            for name in ("a", "other"):
                with pytest.raises(ControlError, match="--model-control explicit"):
                    await call(name)
        assert await rows(host) == [("a", "1", "READY", "")]

    with_host(shelf.directory(control=False), scenario)


def test_a_disk_that_hangs_keeps_nobody_waiting_but_those_who_ask_for_it(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.put("a.aio")
    hanging, passing = threading.Event(), threading.Event()
    scan = Repository.scan

    def slow(repository: Repository) -> dict[str, Entry]:
        hanging.set()
        passing.wait()
        return scan(repository)

    async def scenario(host: Host) -> None:
        monkeypatch.setattr(Repository, "scan", slow)
        asking = [asyncio.ensure_future(rows(host)), asyncio.ensure_future(host.load_model("a"))]
        while not hanging.is_set():
            await asyncio.sleep(0.001)
        await infer(host.find("a"))
        assert not any(task.done() for task in asking)
        passing.set()
        found, _ = await asyncio.gather(*asking)
        assert found == [("a", "1", "READY", "")]
        host.stop()
        with pytest.raises(UnavailableError, match="stopping"):
            await host.index()

    with_host(shelf.directory(), scenario)


def test_a_server_of_one_file_has_no_control() -> None:
    host = Host(Dispatcher(4))

    async def run() -> None:
        await host.load(FakeEngine)
        assert await rows(host) == [("fake", "1", "READY", "")]
        for call in (host.load_model, host.unload_model):
            with pytest.raises(ControlError, match="--model-repository"):
                await call("fake")

    asyncio.run(run())
    assert host.close(timeout_s=5)


async def nothing(_: Host) -> None:
    """Only open the directory."""


def test_some_broken_models_do_not_stop_the_others(shelf: Shelf) -> None:
    shelf.put("a.aio", "broken")
    shelf.put("b/1/model.aio")
    shelf.put("b/2/model.aio", "broken")

    async def scenario(host: Host) -> None:
        assert host.state is State.READY
        assert [row[:3] for row in await rows(host)] == [
            ("a", "1", "UNAVAILABLE"),
            ("b", "1", "READY"),
            ("b", "2", "UNAVAILABLE"),
        ]

    with_host(shelf.directory(), scenario)


@pytest.mark.parametrize(
    ("texts", "at_start", "control", "error", "said"),
    [
        ({}, (), False, InputError, "has no model"),
        ({"a.aio": "broken"}, (), True, ModelFileError, "nothing serves: a.aio: is no model"),
        ({"a.aio": "good"}, ("b",), True, InputError, "--load-model b"),
        ({"a.aio": "good", "b.aio": "broken"}, ("b",), True, ModelFileError, "is no model"),
    ],
)
def test_what_must_load_at_the_start_and_does_not(
    shelf: Shelf,
    texts: dict[str, str],
    at_start: tuple[str, ...],
    control: bool,
    error: type[AioError],
    said: str,
) -> None:
    for place, text in texts.items():
        shelf.put(place, text)
    with pytest.raises(error, match=said):
        with_host(shelf.directory(*at_start, control=control), nothing)


def test_only_the_named_models_load_at_the_start(shelf: Shelf) -> None:
    shelf.put("a.aio", "broken")
    shelf.put("b.aio")

    async def scenario(host: Host) -> None:
        assert await rows(host) == [
            ("a", "1", "UNAVAILABLE", "not loaded"),
            ("b", "1", "READY", ""),
        ]
        for version in (None, "1", "7"):
            with pytest.raises(UnknownModelError, match="model 'a' does not serve: not loaded"):
                host.find("a", version)
        with pytest.raises(UnknownModelError, match="no model is named 'c'; there is b"):
            host.find("c")
        await host.unload_model("a")  # which changes nothing
        await host.unload_model("b")
        for name, reason in (("a", "not loaded"), ("b", "unloaded")):
            with pytest.raises(UnknownModelError, match=f"'{name}' does not serve: {reason}"):
                host.find(name)
        shelf.put("c/3/model.aio")
        (shelf.root / "a.aio").unlink()
        await host.index()  # looks at the directory
        with pytest.raises(UnknownModelError, match="model 'c' does not serve: not loaded"):
            host.find("c")
        with pytest.raises(UnknownModelError, match="no model is named 'a'; there is none"):
            host.find("a")

    with_host(shelf.directory("b"), scenario)


def test_an_empty_directory_is_for_later(shelf: Shelf) -> None:
    async def scenario(host: Host) -> None:
        assert host.state is State.READY
        assert await host.index() == []
        shelf.put("a.aio")
        await host.load_model("a")
        await infer(host.find("a"))

    with_host(shelf.directory(), scenario)


def test_stopping_gives_up_what_is_being_calibrated(shelf: Shelf) -> None:
    shelf.put("a.aio")

    async def scenario(host: Host) -> None:
        shelf.put("b.aio")
        loading = await calibrating(host, shelf, "b")
        host.stop()
        with pytest.raises(ModelLoadError, match="the server is stopping"):
            await loading

    host = with_host(shelf.directory(), scenario)
    assert not host.models
