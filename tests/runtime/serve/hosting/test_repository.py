# SPDX-License-Identifier: Apache-2.0
"""What counts as a model in a directory, and what of it can't be loaded."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aio.runtime.errors import InputError
from aio.runtime.serve.errors import RepositoryError
from aio.runtime.serve.hosting.repository import Repository


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"model")
    return path


def test_both_layouts(tmp_path: Path) -> None:
    write(tmp_path / "a" / "2" / "model.aio")
    write(tmp_path / "a" / "10" / "model.aio")
    write(tmp_path / "b.aio")
    found = Repository(tmp_path).scan()
    assert [version.version for version in found["a"].versions] == ["10", "2"]
    assert found["a"].versions[0].path == tmp_path / "a" / "10" / "model.aio"
    assert [(version.version, version.shown) for version in found["b"].versions] == [("1", "b.aio")]
    assert set(found) == {"a", "b"}


def test_other_names_are_no_models_and_are_told(tmp_path: Path) -> None:
    for name in ("notes.txt", "-x.aio", "a b.aio", "\uff41.aio", ".aio", "..data.aio", ".git/x"):
        write(tmp_path / name)
    write(tmp_path / "white space" / "1" / "model.aio")
    write(tmp_path / f"{'x' * 129}.aio")
    write(tmp_path / "good.aio")
    repository = Repository(tmp_path)
    assert list(repository.scan()) == ["good"]
    assert set(repository.ignored()) == {
        "notes.txt",
        "-x.aio",
        "a b.aio",
        "\uff41.aio",
        "white space",
        f"{'x' * 129}.aio",
    }


@pytest.mark.parametrize("place", ["stats.aio", "stats/1/model.aio"])
def test_the_name_of_the_statistics_is_no_model(tmp_path: Path, place: str) -> None:
    write(tmp_path / place)
    write(tmp_path / "stats2.aio")
    found = Repository(tmp_path).scan()
    assert found["stats"].versions == ()
    assert found["stats"].problem == (
        "no model can be named stats, as /v2/models/stats is the statistics of all models; "
        "rename it"
    )
    assert not found["stats2"].problem


def test_only_plain_numbers_are_versions(tmp_path: Path) -> None:
    for name in ("0", "01", "-1", "1.0", "v1", "\u0661", "1" * 19, ".."):
        (tmp_path / "a" / name).mkdir(parents=True, exist_ok=True)
    entry = Repository(tmp_path).scan()["a"]
    assert entry.versions == ()
    assert entry.problem == "a has no directory 1, 2, ..."


def test_a_version_without_a_file(tmp_path: Path) -> None:
    (tmp_path / "a" / "1").mkdir(parents=True)
    (version,) = Repository(tmp_path).scan()["a"].versions
    assert version.path is None
    assert version.problem == "a/1/model.aio: No such file or directory"
    assert version.fingerprint() is None


def test_links_inside_are_followed_and_those_that_leave_are_refused(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside.aio")
    root = tmp_path / "models"
    real = write(root / "..data" / "real.aio")
    (root / "inside.aio").symlink_to("..data/real.aio")
    (root / "outside.aio").symlink_to(outside)
    (root / "up.aio").symlink_to("../outside.aio")
    (root / "circle.aio").symlink_to("circle.aio")
    (root / "gone.aio").symlink_to("nowhere.aio")
    (root / "folder").symlink_to(tmp_path / "elsewhere")
    write(tmp_path / "elsewhere" / "1" / "model.aio")
    found = {name: entry.versions[0] for name, entry in Repository(root).scan().items()}
    assert found["inside"].path == real
    for name in ("outside", "up", "folder"):
        assert found[name].path is None
        assert found[name].problem.endswith("leads out of the model repository")
    for name in ("circle", "gone"):
        assert found[name].path is None
        assert found[name].problem.startswith(f"{name}.aio: ")


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.aio")
    (version,) = Repository(tmp_path).scan()["a"].versions
    assert version.path is None
    assert version.problem == "a.aio is not a regular file"


def test_the_directory_itself_may_be_a_link(tmp_path: Path) -> None:
    write(tmp_path / "real" / "a.aio")
    (tmp_path / "link").symlink_to("real")
    (version,) = Repository(tmp_path / "link").scan()["a"].versions
    assert version.path == tmp_path / "real" / "a.aio"


def test_a_link_to_the_directory_is_followed_anew_by_each_look(tmp_path: Path) -> None:
    write(tmp_path / "r1" / "a.aio")
    write(tmp_path / "r2" / "a.aio")
    write(tmp_path / "r2" / "not a model")
    link = tmp_path / "current"
    link.symlink_to("r1")
    repository = Repository(link)
    (before,) = repository.scan()["a"].versions
    (tmp_path / "next").symlink_to("r2")
    (tmp_path / "next").replace(link)
    (after,) = repository.scan()["a"].versions
    assert (before.path, after.path) == (tmp_path / "r1" / "a.aio", tmp_path / "r2" / "a.aio")
    assert before.fingerprint() != after.fingerprint()
    assert repository.ignored() == ["not a model"]
    # What is not in the directory of now is outside of it, also what was inside before.
    (tmp_path / "r2" / "b.aio").symlink_to(tmp_path / "r1" / "a.aio")
    (outside,) = repository.scan()["b"].versions
    assert outside.problem == "b.aio leads out of the model repository"


def test_one_look_stays_in_one_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for release in ("r1", "r2"):
        write(tmp_path / release / "a" / "1" / "model.aio")
        write(tmp_path / release / "b" / "1" / "model.aio")
    link = tmp_path / "current"
    link.symlink_to("r1")
    repository = Repository(link)
    iterdir = Path.iterdir

    def swapping(folder: Path) -> Iterator[Path]:
        if folder.name == "a":
            link.unlink()
            link.symlink_to("r2")
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", swapping)
    found = repository.scan()
    assert [found[name].versions[0].path for name in ("a", "b")] == [
        tmp_path / "r1" / name / "1" / "model.aio" for name in ("a", "b")
    ]


def test_a_directory_that_can_not_be_read_is_not_an_empty_one(tmp_path: Path) -> None:
    root = tmp_path / "models"
    write(root / "a.aio")
    repository = Repository(root)
    root.rename(tmp_path / "away")
    for _ in range(2):  # gone, then something else
        for look in (repository.scan, repository.ignored):
            with pytest.raises(RepositoryError) as caught:
                look()
            assert str(caught.value) == "the model repository can't be read: " + os.strerror(
                errno.ENOTDIR if root.exists() else errno.ENOENT
            )
        write(root)
    root.unlink()
    (tmp_path / "away").rename(root)
    assert list(repository.scan()) == ["a"]


def test_a_model_that_can_not_be_read_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a" / "1" / "model.aio")
    write(tmp_path / "b.aio")
    iterdir = Path.iterdir

    def closed(folder: Path) -> Iterator[Path]:
        if folder.name == "a":
            raise PermissionError(errno.EACCES, "Permission denied")  # root may read everything
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", closed)
    found = Repository(tmp_path).scan()
    assert (found["a"].versions, found["a"].problem) == ((), "a: Permission denied")
    assert found["b"].versions


@pytest.mark.parametrize("name", ["missing", "file", "circle"])
def test_no_directory(tmp_path: Path, name: str) -> None:
    write(tmp_path / "file")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(InputError, match="it must be a directory that holds"):
        Repository(tmp_path / name)
