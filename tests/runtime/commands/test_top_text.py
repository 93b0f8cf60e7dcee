# SPDX-License-Identifier: Apache-2.0
"""What a look says, and what is left of it in terminals of all sizes."""

import copy
from typing import Any

import pytest
from fake_engine import FakeEngine, serving
from hypothesis import given
from hypothesis import strategies as st

from aio.runtime.commands.server_state import StateClient
from aio.runtime.commands.top_text import look

State = dict[str, Any]
REASON = "cpu 1510 -> 1200 MHz: " + " ".join(f"because{n}" for n in range(20))


@pytest.fixture(scope="module")
def state() -> State:
    """A busy server of three models with nine levels, of which three are below the floor."""
    with serving(FakeEngine) as live:
        live.wait_for(live.announced.is_set)
        state = StateClient(f"127.0.0.1:{live.port}", None).get()
    [model] = state["models"]
    model |= {
        "min_accuracy": 0.92,
        "allowed_levels": [*range(6)],
        "levels": [
            {
                "index": n,
                "ratio": n / 10,
                "accuracy": 0.97 - n / 100,
                "predicted_ms": 9.0 - n,
                "inferences": n,
            }
            for n in range(9)
        ],
        "last": {"level": 5, "levels": [4, 5], "plan": "level 4 for 2 layers, then 5"},
        "points": [[n, 1.0 + n % 7, 0.0, 5, 0.5, 4.0, 1_510_000] for n in range(600)],
        "decisions": [
            {"time_s": n, "plan": f"level {n}", "reason": f"{n} {REASON}"} for n in range(8)
        ],
    }
    model["counts"]["inferences"] = 36
    state["models"] = [{**copy.deepcopy(model), "name": f"model{n}"} for n in range(3)]
    state["device"]["temperatures"] = [{"name": f"zone{n}", "celsius": 40.0} for n in range(20)]
    return state


def of_one(state: State, **changes: object) -> State:
    return {**state, "models": [{**state["models"][0], **changes}]}


def lines(state: State, width: int = 200, height: int | None = None) -> list[str]:
    return look(state, width, height).plain.split("\n")


def line_with(text: str, found: list[str]) -> str:
    [line] = [line for line in found if text in line]
    return line


def test_level_ratio_accuracy_and_floor_are_said(state: State) -> None:
    line = line_with("in use:", lines(of_one(state)))
    assert line == (
        "in use: level 5  50 % zeros  accuracy 92.00 %  plan: level 4 for 2 layers, then 5  "
        "accuracy floor 92.00 % bars 3 of 9 levels"
    )
    last = {"level": 5, "levels": [5], "plan": "level 5"}
    line = line_with("in use:", lines(of_one(state, last=last, min_accuracy=None)))
    assert line == "in use: level 5  50 % zeros  accuracy 92.00 %"
    assert "in use: no level yet" in line_with("in use:", lines(of_one(state, last=None)))


def test_an_accuracy_that_is_not_known_is_a_word(state: State) -> None:
    levels = [{**level, "accuracy": None} for level in state["models"][0]["levels"]]
    found = lines(of_one(state, levels=levels, min_accuracy=None))
    assert "accuracy not recorded" in line_with("in use:", found)


def test_levels_are_marked_in_text(state: State) -> None:
    found = lines(of_one(state))
    start = next(n for n, line in enumerate(found) if "would take ms" in line)
    marks = [line[:9].strip() for line in found[start + 1 : start + 10]]
    assert marks == [""] * 4 + ["> in use"] * 2 + ["x barred"] * 3
    pinned = {"level": 8, "levels": [8], "plan": "level 8"}
    assert any(line.startswith("> in use x barred") for line in lines(of_one(state, last=pinned)))


def test_the_sparkline_is_as_wide_as_there_is_room(state: State) -> None:
    for width in (40, 60, 80, 200):
        line = line_with("latency", lines(of_one(state), width, 50))
        assert len(line) == width
        assert line.endswith("highest 7.00 ms")
    few = of_one(state, points=state["models"][0]["points"][:7])
    assert line_with("latency", lines(few)) == "latency ▂▃▄▅▆▇█  highest 7.00 ms"


def test_reasons_are_whole_where_there_is_room(state: State) -> None:
    for width, height in ((80, None), (200, 50)):
        found = " ".join(" ".join(lines(of_one(state), width, height)).split())
        for n in range(2, 8):  # the last six
            assert f"{n} {REASON}" in found


@given(width=st.integers(1, 220), height=st.integers(1, 90), models=st.integers(0, 3))
def test_a_look_never_exceeds_the_terminal(
    state: State, width: int, height: int, models: int
) -> None:
    found = lines({**state, "models": state["models"][:models]}, width, height)
    assert len(found) <= height
    assert max(map(len, found)) <= width


def test_a_small_terminal_shows_what_matters_and_says_what_is_missing(state: State) -> None:
    found = lines(of_one(state), 60, 20)
    assert len(found) == 20
    text = "\n".join(found)
    assert "in use: level 5  50 % zeros" in text
    assert "accuracy floor 92.00 % bars 3 of 9 levels" in text
    assert "> in use      5   50 %" in text
    assert "1510 MHz" in text
    assert "+ 5 more changes" in text
    assert "more levels" in text
    assert "+ 18 more" in line_with("heat", found)  # zones


def test_a_low_terminal_names_the_sections_it_leaves_out(state: State) -> None:
    found = lines(of_one(state), 80, 10)
    assert found[-1].startswith("not shown, for lack of lines: readings, changes")
    assert any("in use: level 5" in line for line in found)
    assert lines(of_one(state), 80, 3)[-1].endswith(" …")


@pytest.mark.parametrize(("height", "shown"), [(100, 3), (20, 3), (15, 2), (9, 1), (4, 1)])
def test_as_many_models_as_fit(state: State, height: int, shown: int) -> None:
    found = lines(state, 120, height)
    assert [line.split()[0] for line in found if line.startswith("model")] == [
        f"model{n}" for n in range(shown)
    ]
    if height >= 9 and shown < 3:
        some = "1 more model;" if shown == 2 else "2 more models;"
        assert line_with("--model", found) == f"+ {some} --model NAME shows one"


def test_sixty_four_clocks_leave_room_for_the_rest(state: State) -> None:
    policy = {"name": "policy", "cur_khz": 1_200_000, "max_khz": 1_510_000, "governor": None}
    clock = {**state["device"]["clock"], "policies": [policy] * 64}
    found = lines({**of_one(state), "device": {**state["device"], "clock": clock}}, 80, 24)
    assert any("1200 MHz of 1510 MHz" in line for line in found)
    assert line_with("more clocks", found)
    assert any("> in use" in line for line in found)
