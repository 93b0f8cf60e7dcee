# SPDX-License-Identifier: Apache-2.0
"""Parts of a look, shortened to the size of a terminal. What is left out is said."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.text import Text

Item = list[Text]  # the lines of one row, reading or change


@dataclass(frozen=True, eq=False)
class Section:
    """A part of a look.

    Args:
        what: the name of its items, as in "+ 3 more levels".
        head: lines that are shown whenever anything of it is.
        items: what may be shown in part.
        near: the item that matters most; those closest to it are shown first.
        rank: sections of the highest one are left out first, those of 0 are shown whole.
    """

    what: str
    head: Item = field(default_factory=list)
    items: Sequence[Item] = ()
    near: int = 0
    rank: int = 0

    @property
    def most(self) -> int:
        """Return the number of lines of all of it."""
        return len(self.head) + sum(map(len, self.items))

    @property
    def least(self) -> int:
        """Return the lines for one item, and for that there are more."""
        return self.most if self.rank == 0 else min(self.most, len(self.head) + 2)

    def lines(self, height: int) -> Item:
        """Return what fits into a height of at least `least`."""
        if height >= self.most:
            return [*self.head, *(line for item in self.items for line in item)]
        room = height - len(self.head) - (len(self.items) > 1)
        shown: list[int] = []
        for index in sorted(range(len(self.items)), key=self._distance):
            if len(self.items[index]) > room:
                break
            shown.append(index)
            room -= len(self.items[index])
        body = [line for index in sorted(shown) for line in self.items[index]]
        if not shown:  # the first is too long
            body = cut(self.items[self.near], room)
        rest = len(self.items) - max(len(shown), 1)
        return [*self.head, *body, *([Text(f"+ {rest} more {self.what}", "dim")] if rest else [])]

    def _distance(self, index: int) -> tuple[int, bool]:
        return abs(index - self.near), index < self.near


def fitted(sections: Sequence[Section], height: int) -> Item:
    """Return the lines of the sections in their order, at most `height` of them."""
    kept = list(sections)
    left_out: dict[str, None] = {}  # names, each once, in order
    while sum(section.least for section in kept) + bool(left_out) > height:
        last = max(reversed(kept), key=lambda section: section.rank)
        if last.rank == 0:
            break
        kept.remove(last)
        if last.what:
            left_out[last.what] = None
    room = height - sum(section.least for section in kept) - bool(left_out)
    heights: dict[Section, int] = {}
    # Those that lack little become whole; what is long gets the rest.
    for section in sorted(kept, key=lambda section: section.most - section.least):
        more = max(0, min(room, section.most - section.least))
        heights[section] = section.least + more
        room -= more
    lines = [line for section in kept for line in section.lines(heights[section])]
    if left_out:
        lines.append(Text(f"not shown, for lack of lines: {', '.join(left_out)}", "dim"))
    return cut(lines, height)


def cut(lines: Item, height: int) -> Item:
    """Return the first lines, with a sign at the end if that is not all."""
    if len(lines) <= height:
        return lines
    *kept, last = lines[:height]
    return [*kept, Text.assemble(last, " …")]


def packed(parts: Sequence[str], width: int) -> list[str]:
    """Return lines that hold the parts, each whole where it fits into a line at all."""
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + 2 + len(part) <= width:
            lines[-1] += f"  {part}"
        else:
            lines.append(f"  {part}")
    return lines


def listed(parts: Sequence[str], width: int) -> str:
    """Return as many parts as a line holds, and how many more there are."""
    for shown in range(len(parts), 0, -1):
        rest = len(parts) - shown
        line = ", ".join([*parts[:shown], *([f"+ {rest} more"] if rest else [])])
        if len(line) <= width:
            return line
    return ", ".join(parts)
