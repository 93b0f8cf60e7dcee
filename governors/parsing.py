# SPDX-License-Identifier: Apache-2.0
"""Turn the text of kernel files into numbers; what is no number becomes None.

Frequencies are kHz. A value outside 10 MHz to 20 GHz is no CPU clock in kHz: it is garbage, or
in Hz or MHz (devfreq gives Hz), and guessing the unit would be worse than no reading.
"""

from __future__ import annotations

MIN_KHZ = 10_000
MAX_KHZ = 20_000_000
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
    khz = parse_int(text)
    return khz if khz is not None and MIN_KHZ <= khz <= MAX_KHZ else None


def parse_khz_list(text: str | None) -> tuple[int, ...]:
    """Return the frequencies of a list, ascending and without duplicates.

    acpi-cpufreq lists downwards, Tegra upwards, some with a trailing space.
    """
    values = {parse_khz(token) for token in (text or "").split()}
    return tuple(sorted(khz for khz in values if khz is not None))


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
