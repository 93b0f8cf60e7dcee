# SPDX-License-Identifier: Apache-2.0
"""Turn the text of kernel files into numbers; what is no number becomes None.

Frequencies are kHz. A value outside 10 MHz to 20 GHz is no clock: it is garbage, or in another
unit (cpufreq gives kHz, devfreq Hz, i915 MHz), and guessing it would be worse than no reading.
"""

from __future__ import annotations

MIN_KHZ = 10_000
MAX_KHZ = 20_000_000
# A sensor that is switched off reads -256 degrees, one that is broken often 0 K or a maximum.
MIN_MC = -60_000
MAX_MC = 250_000
_OFF_MC = -256
_MINUS_ONE = 2**32 - 1  # an error code printed unsigned, which would pass for 4.29 GHz
MAX_CPUS = 8192  # NR_CPUS of the largest kernels; bounds what a hostile range may expand to


def parse_int(text: str | None) -> int | None:
    """Return a plain decimal number without sign, or None."""
    digits = (text or "").strip()
    # isdigit alone accepts other scripts, int alone accepts "1_000"; long garbage is no number.
    if not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        return None
    return int(digits)


def parse_khz(text: str | None) -> int | None:
    """Return a CPU frequency, or None for anything that can't be one."""
    return _plausible(parse_int(text), 1, 1)


def parse_khz_list(text: str | None) -> tuple[int, ...]:
    """Return the frequencies of a list, ascending and without duplicates.

    acpi-cpufreq lists downwards, Tegra upwards, some with a trailing space.
    """
    values = {parse_khz(token) for token in (text or "").split()}
    return tuple(sorted(khz for khz in values if khz is not None))


def parse_hz(text: str | None) -> int | None:
    """Return the kHz of a frequency in Hz, or None."""
    value = parse_int(text)
    return None if value == _MINUS_ONE else _plausible(value, 1, 1000)


def parse_mhz(text: str | None) -> int | None:
    """Return the kHz of a frequency in MHz, or None."""
    return _plausible(parse_int(text), 1000, 1)


def parse_hz_list(text: str | None) -> tuple[int, ...]:
    """Return the kHz of a list in Hz, ascending and without duplicates; kgsl lists downwards."""
    values = {parse_hz(token) for token in (text or "").split()}
    return tuple(sorted(khz for khz in values if khz is not None))


def parse_dpm_khz(text: str | None) -> tuple[int, ...]:
    """Return the kHz of amdgpu's "0: 300Mhz" lines, ascending; the active one has a star."""
    tokens = [line.partition(":")[2].strip(" *") for line in (text or "").splitlines()]
    values = {parse_mhz(token[:-3]) for token in tokens if token.lower().endswith("mhz")}
    return tuple(sorted(khz for khz in values if khz is not None))


def parse_load(text: str | None) -> float | None:
    """Return a load from 0 to 1: Tegra writes tenths of a percent, Mali "percent@HzHz"."""
    number, at, _ = (text or "").partition("@")
    return _fraction(parse_int(number), 100 if at else 1000)


def parse_percent(text: str | None) -> float | None:
    """Return 0 to 1 of a percentage such as "37" or "37 %"."""
    return _fraction(parse_int((text or "").strip().removesuffix("%")), 100)


def parse_busy(text: str | None) -> float | None:
    """Return the load of kgsl's "busy total" in microseconds; None while the GPU sleeps."""
    fields = [parse_int(token) for token in (text or "").split()]
    if len(fields) != 2 or fields[1] is None:
        return None
    return _fraction(fields[0], fields[1])


def parse_signed(text: str | None) -> int | None:
    """Return a decimal number that may have a minus sign, or None."""
    word = (text or "").strip()
    digits = word.removeprefix("-")
    value = parse_int(digits) if digits.strip() == digits else None
    return -value if value is not None and digits != word else value


def parse_temperature_mc(text: str | None) -> int | None:
    """Return thousandths of a degree Celsius, or None for what no processor can have."""
    value = parse_signed(text)
    if value is None or value == _OFF_MC or not MIN_MC <= value <= MAX_MC:
        return None
    return value


def parse_cpus(text: str | None) -> tuple[int, ...] | None:
    """Return the CPUs of "0 1 2", "0-3,6" or an empty list; None if it is no such list."""
    if text is None:
        return None
    cpus: set[int] = set()
    for token in text.replace(",", " ").split():
        first, dash, last = token.partition("-")
        low, high = parse_int(first), parse_int(last if dash else first)
        if low is None or high is None or not low <= high < MAX_CPUS:
            return None
        cpus.update(range(low, high + 1))
    return tuple(sorted(cpus))


def parse_word(text: str | None) -> str | None:
    """Return a short printable name such as a governor's, or None."""
    word = (text or "").strip()
    return word if word.isascii() and word.isprintable() and 0 < len(word) <= 64 else None


def _plausible(value: int | None, times: int, divisor: int) -> int | None:
    khz = None if value is None else value * times // divisor
    return khz if khz is not None and MIN_KHZ <= khz <= MAX_KHZ else None


def _fraction(part: int | None, whole: int) -> float | None:
    return part / whole if part is not None and whole > 0 and part <= whole else None
