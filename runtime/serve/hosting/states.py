# SPDX-License-Identifier: Apache-2.0
"""What the repository index says: the state of every version of a model that is known."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Readiness = Literal["READY", "LOADING", "UNAVAILABLE"]
READY: Final = "READY"
LOADING: Final = "LOADING"
UNAVAILABLE: Final = "UNAVAILABLE"


@dataclass(frozen=True)
class ModelState:
    """One line of the index; `version` is empty where a model has none that could be loaded."""

    name: str
    version: str
    state: Readiness
    reason: str = ""


class NotServing:
    """The versions that were tried or unloaded and do not serve, with the reasons."""

    def __init__(self) -> None:
        self._states: defaultdict[str, dict[str, ModelState]] = defaultdict(dict)

    def loading(self, name: str, version: str) -> None:
        """Note that a version is being loaded."""
        self._note(ModelState(name, version, LOADING))

    def unavailable(self, name: str, version: str, reason: str) -> None:
        """Note why a version does not serve."""
        self._note(ModelState(name, version, UNAVAILABLE, reason))

    def serves(self, name: str, version: str) -> None:
        """Forget what was wrong with a version."""
        self._states[name].pop(version, None)

    def keep_only(self, name: str, versions: Iterable[str]) -> None:
        """Forget the versions that are gone."""
        for version in set(self._states[name]).difference(versions):
            del self._states[name][version]

    def of(self, name: str) -> list[ModelState]:
        """Return what is known of a model, of the version that was noted first at first."""
        return list(self._states.get(name, {}).values())

    def _note(self, state: ModelState) -> None:
        states = self._states[state.name]
        if state.version:
            states.pop("", None)
        states[state.version] = state
