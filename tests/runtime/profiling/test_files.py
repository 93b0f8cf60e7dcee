# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path

import pytest
from profile_parts import profile, sample, two_points

from aio.runtime.profiling.diff import differences
from aio.runtime.profiling.document import as_document, read_document
from aio.runtime.profiling.files import disk_problem, write_files
from aio.runtime.profiling.sample_file import COLUMNS, SampleFile
from aio.runtime.profiling.samples import Sample

PICTURES = {"latency-by-frequency.png", "time-series.png", "distribution.png"}


def test_everything_is_written_and_read(tmp_path: Path) -> None:
    one = two_points()
    written = write_files(one, tmp_path)
    assert set(written.names) == {"profile.json", "trace.json", "report.html", *PICTURES}
    assert (written.skipped, written.problems) == ([], [])
    assert {path.name for path in tmp_path.iterdir()} == set(written.names)
    for name in PICTURES:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG\r\n")
    document = read_document(tmp_path / "profile.json")
    assert document["points"][1]["figures"]["ort"]["latency"]["p50_ms"] == 20.0
    assert document["overall"]["ort"]["frequency_spread"] == pytest.approx(2 / 3)
    assert document["points"][0]["figures"]["adaptive"]["energy_mj"] is None


def test_the_report_needs_nothing_else(tmp_path: Path) -> None:
    write_files(profile(two_points().recording.samples, emulated="emulated <b>oard"), tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert not re.search(r"""<(?:script|link|img)[^>]+(?:src|href)\s*=""", text)
    assert "emulated &lt;b&gt;oard" in text
    assert "a &lt;cpu&gt;" in text
    assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize(
    ("module", "missing"), [("plotly", {"report.html"}), ("matplotlib", PICTURES)]
)
def test_a_missing_extra_leaves_out_what_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, missing: set[str]
) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] == module]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, module, None)
    for name in ("report", "pictures"):
        monkeypatch.delitem(sys.modules, f"aio.runtime.profiling.{name}", raising=False)
        package = sys.modules["aio.runtime.profiling"]
        monkeypatch.delattr(package, name, raising=False)
    written = write_files(two_points(), tmp_path)
    assert not missing & set(written.names)
    assert {"profile.json", "trace.json"} < set(written.names)
    assert len(written.skipped) == len(missing)
    for line in written.skipped:
        assert f"the module {module}" in line
        assert line.endswith("pip install 'aio-runtime[profile]'")


def test_trace_structure(tmp_path: Path) -> None:
    write_files(two_points(), tmp_path)
    document = json.loads((tmp_path / "trace.json").read_text())
    events = document["traceEvents"]
    needed = {"X": {"name", "ts", "dur", "pid", "tid"}, "C": {"name", "ts", "pid", "args"}}
    needed["M"] = {"name", "pid", "args"}
    for event in events:
        assert needed[event["ph"]] <= event.keys()
        assert event.get("ts", 0) >= 0
        assert event.get("dur", 1) > 0
    slices = [e for e in events if e["ph"] == "X"]
    assert len(slices) == len(two_points().recording.samples) + 3
    whole, *layers = [e for e in slices if e["cat"] == "layers"]
    assert [layer["name"] for layer in layers] == ["conv", "fc"]
    # Slices of a thread must nest: the layers fill the inference they belong to.
    assert layers[0]["ts"] == whole["ts"]
    assert layers[1]["ts"] == pytest.approx(layers[0]["ts"] + layers[0]["dur"])
    end = layers[1]["ts"] + layers[1]["dur"]
    assert end == pytest.approx(whole["ts"] + whole["dur"])
    assert len({(e["pid"], e["tid"]) for e in layers} | {(whole["pid"], whole["tid"])}) == 1
    for counter in (e for e in events if e["ph"] == "C"):
        assert all(isinstance(value, int | float) for value in counter["args"].values())
    assert {e["name"] for e in events if e["ph"] == "C"} == {"CPU clock", "level of adaptive"}


def test_samples_survive_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    with SampleFile(path) as file:
        file.keep([sample(1.5, levels=(0, 2), plan="level 2, then 0")])
        # Read while the file is open: nothing waits in a buffer.
        header, row = csv.reader(path.read_text().splitlines())
    assert tuple(header) == COLUMNS == Sample._fields
    values = dict(zip(header, row, strict=True))
    assert (values["latency_ms"], values["levels"]) == ("1.5", "0 2")
    assert (values["energy_uj"], values["plan"]) == ("", "level 2, then 0")


def test_a_full_disk_does_not_end_the_measurement() -> None:
    with SampleFile(Path("/dev/full")) as file:
        file.keep([sample()])
        file.keep([sample()])
    assert file.error is not None
    message = disk_problem(file.path, file.error)
    assert message == (
        "/dev/full can't be written: no space left on device; "
        "free some space, or name a folder on another disk with --output"
    )


def test_a_folder_that_went_away(tmp_path: Path) -> None:
    written = write_files(two_points(), tmp_path / "none")
    assert written.names == []
    assert len(written.problems) == 6
    assert "no such file" in written.problems[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "its schema is None"),
        (b'{"schema": "aio-profile/9"}', "its schema is 'aio-profile/9', expected 'aio-profile/1'"),
    ],
)
def test_what_is_no_profile(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "p.json").write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(reason)):
        read_document(tmp_path / "p.json")


def test_diff() -> None:
    before = as_document(two_points())
    slower = [
        s._replace(latency_ms=s.latency_ms * (1.5 if s.subject == "ort" else 1.0001))
        for s in two_points().recording.samples
    ]
    after = as_document(profile(slower, batch=2))
    found = differences(before, after)
    assert found.only == ()
    assert found.conditions == ("batch: 1, 2",)
    certain = {(c.point, c.subject): c.certain for c in found.changes}
    assert certain == {
        (f"governor{k}", name): name == "ort" for k in (0, 1) for name in ("adaptive", "ort")
    }
    change = found.changes[1]
    assert change.p50_ms[1] / change.p50_ms[0] == pytest.approx(1.5)


def test_diff_of_damaged_or_disjoint_profiles() -> None:
    before = as_document(two_points())
    with pytest.raises(ValueError, match="a profile is damaged"):
        differences(before, {"schema": "aio-profile/1"})
    after = as_document(two_points())
    for point in after["points"]:
        point["label"] = "elsewhere"
    with pytest.raises(ValueError, match="nothing to compare: A has adaptive at governor0"):
        differences(before, after)
