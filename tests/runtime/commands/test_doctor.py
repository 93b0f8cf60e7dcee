# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fake_machine import RASPBERRY_PI_4, FakeMachine

from aio.runtime import cli, native_info


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    monkeypatch.setenv("AIO_SYSFS_ROOT", str(tmp_path / "root"))
    return FakeMachine(tmp_path / "root", RASPBERRY_PI_4)


def checks(document: dict[str, list[dict[str, object]]]) -> dict[object, bool]:
    return {check["name"]: bool(check["ok"]) for check in document["checks"]}


def test_json(machine: FakeMachine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.set_khz(900_000)
    code = cli.main(["doctor", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["native"]["isa_used"] == native_info()["isa_used"]
    assert document["machine"]["sample"]["clock"]["driver"] == "cpufreq"
    assert document["machine"]["sample"]["clock"]["cpu_khz"] == 900_000
    assert document["machine"]["cost"]["us_per_sample"] > 0
    assert document["machine"]["policies"][0]["governor"] == "ondemand"
    assert document["machine"]["threads"]["threads"] >= 1
    assert document["machine"]["capabilities"][0]["driver"] == "cpufreq"
    assert checks(document)["native core"]
    assert checks(document)["sensors"]
    assert checks(document)["cache"]
    assert code == (0 if all(checks(document).values()) else 1)


def test_text(machine: FakeMachine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.set_khz(900_000)
    cli.main(["doctor"])
    text = capsys.readouterr().out
    assert "900 MHz of 1500 MHz, from cpufreq" in text
    assert re.search(r"cpu_clock +cpufreq +value +\d\.\d\d s +policy0: CPUs 0-3", text)
    assert re.search(r"sensor cost +\d+ us per sample, \d+\.\d\d% of a core at 50 Hz", text)
    assert "not tried: cpufreq answered" in text
    assert "policy0" in text
    assert "ok    native core: uses " in text


def test_every_quantity_has_a_line(
    machine: FakeMachine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.add_devfreq("17000000.gpu")
    machine.write("sys/class/devfreq/17000000.gpu/device/load", "370\n")
    machine.add_zone(0, "CPU-therm", 48_500)
    machine.add_zone(1, "CV0-therm", -256_000)
    machine.add_cooling(0, "cpufreq-cpu0", 2)
    machine.add_supply("BAT0", type="Battery", status="Discharging", capacity=41)
    machine.add_rapl("intel-rapl:0", "package-0", 5)
    cli.main(["doctor"])
    text = capsys.readouterr().out
    assert re.search(r"GPU +17000000\.gpu: 625 MHz of 625 MHz, load 37%\n", text)
    assert re.search(r"heat +hottest of 2 zones 48 C, throttled\n", text)
    assert re.search(r"power source +on battery, charge 41%\n", text)
    assert re.search(r"power +(-|\d+\.\d\d W), package-0\n", text)
    assert re.search(r"gpu_clock +nvml +unsupported +- +not tried: devfreq answered", text)
    cli.main(["doctor", "--json"])
    sample = json.loads(capsys.readouterr().out)["machine"]["sample"]
    assert sample["gpus"][0]["load"] == 0.37
    assert sample["thermal"]["throttled"] is True
    assert sample["thermal"]["zones"][1]["temperature_mc"] is None
    assert sample["power"] == {"source": "battery", "battery": 0.41}
    assert sample["energy"]["rails"][0]["energy_uj"] == 5


def test_a_machine_without_cpufreq(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIO_SYSFS_ROOT", str(tmp_path))
        cli.main(["doctor", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["machine"]["sample"]["clock"]["driver"] in {"timed_loop", "constant"}
    assert document["machine"]["capabilities"][0]["status"] == "unsupported"


def test_wrong_environment_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("AIO_FORCE_ISA", "altivec")
    monkeypatch.setenv("AIO_SYSFS_ROOT", str(tmp_path / "missing"))
    monkeypatch.setenv("AIO_CACHE_DIR", "/proc/nowhere")
    assert cli.main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "FAIL  native core: " in text
    assert "altivec" in text
    assert "FAIL  sensors: AIO_SYSFS_ROOT" in text
    assert "ok    cache: calibrations are not kept: /proc/nowhere can't be written" in text
    assert "FAIL  shipped model: " in text
