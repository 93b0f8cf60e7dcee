# SPDX-License-Identifier: Apache-2.0
"""The device as Prometheus metrics: clocks, temperatures, power. A missing reading is no sample.

Labels are the sensors' names. Where two have the same, as with zones of one type, the later ones
are numbered: two samples of one name would make the whole exposition invalid.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import Metric
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from aio.governors import ClockSample, DeviceSample


class DeviceCollector:
    """Collector of the newest sample of the device.

    Args:
        sample: returns it, None while nothing reads the device.
    """

    def __init__(self, sample: "Callable[[], DeviceSample | None]") -> None:
        self._sample = sample

    def collect(self) -> Iterator[Metric]:
        """Yield what the sensors have a reading of."""
        sample = self._sample()
        if sample is None:
            return
        hertz = "CPU clock."
        yield _gauges("aio_cpu_frequency_hertz", hertz, "policy", _clocks(sample.clock))
        gpus = [(gpu.device, _thousand(gpu.cur_freq_khz)) for gpu in sample.gpus]
        yield _gauges("aio_gpu_frequency_hertz", "GPU clock.", "device", gpus)
        heat = "Temperature of a thermal zone or GPU."
        yield _gauges("aio_temperature_celsius", heat, "zone", _temperatures(sample))
        yield _gauges("aio_power_watts", "Power of a rail or GPU.", "rail", _powers(sample))
        yield _family(
            CounterMetricFamily("aio_energy_joules", "Energy of a rail so far.", labels=("rail",)),
            _energies(sample),
        )
        # Of these two Triton has one sample for each GPU too.
        watts = [(gpu.device, _thousandth(gpu.power_mw)) for gpu in sample.gpus]
        yield _gauges("nv_gpu_power_usage", "Power of a GPU in watts.", "device", watts)
        loads = [(gpu.device, gpu.load) for gpu in sample.gpus]
        yield _gauges("nv_gpu_utilization", "Part of time a GPU is busy.", "device", loads)
        throttled = None if sample.thermal is None else sample.thermal.throttled
        if throttled is not None:
            limited = "1 while heat limits a processor."
            yield GaugeMetricFamily("aio_throttled", limited, value=float(throttled))


Readings = Iterable[tuple[str, float | None]]


def _clocks(clock: "ClockSample") -> Readings:
    """Return one clock per cpufreq policy, or the one that a sensor measures."""
    readings = [(item.name, _thousand(item.cur_freq_khz)) for item in clock.policies]
    return readings or [(clock.driver, _thousand(clock.cpu_khz))]


def _temperatures(sample: "DeviceSample") -> Readings:
    for zone in sample.thermal.zones if sample.thermal else ():
        yield zone.kind or zone.name, _thousandth(zone.temperature_mc)
    for gpu in sample.gpus:
        yield gpu.device, _thousandth(gpu.temperature_mc)


def _powers(sample: "DeviceSample") -> Readings:
    for rail in sample.energy.rails if sample.energy else ():
        yield rail.name, _thousandth(rail.power_mw)
    for gpu in sample.gpus:
        yield gpu.device, _thousandth(gpu.power_mw)


def _energies(sample: "DeviceSample") -> Readings:
    for rail in sample.energy.rails if sample.energy else ():
        yield rail.name, None if rail.energy_uj is None else rail.energy_uj / 1e6


def _gauges(name: str, text: str, label: str, readings: Readings) -> Metric:
    return _family(GaugeMetricFamily(name, text, labels=(label,)), readings)


def _family(family: GaugeMetricFamily | CounterMetricFamily, readings: Readings) -> Metric:
    used: set[str] = set()
    for reading_of, value in readings:
        unique, number = reading_of, 1
        while unique in used:
            number += 1
            unique = f"{reading_of} {number}"
        used.add(unique)
        if value is not None:
            family.add_metric((unique,), value)
    return family


def _thousand(value: float | None) -> float | None:
    return None if value is None else value * 1000


def _thousandth(value: float | None) -> float | None:
    return None if value is None else value / 1000
