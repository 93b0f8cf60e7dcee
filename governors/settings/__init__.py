# SPDX-License-Identifier: Apache-2.0
"""Setting clocks, only on request and always restored. See docs/setting-clocks.md."""

from aio.governors.settings.attributes import SettingsError
from aio.governors.settings.clocks import Applied, ClockSettings
from aio.governors.settings.restore import HeldError, default_journal_dir, replay_journals

__all__ = [
    "Applied",
    "ClockSettings",
    "HeldError",
    "SettingsError",
    "default_journal_dir",
    "replay_journals",
]
