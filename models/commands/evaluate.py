# SPDX-License-Identifier: Apache-2.0
"""`aio evaluate`: the All-in-One model beside networks that are trained for one ratio each."""

import argparse
import json
import sys
from pathlib import Path

from aio.models.commands.progress import epoch_progress
from aio.models.commands.setting_options import add_setting_options, given_settings, ratio_list
from aio.models.commands.termination import exit_on_sigterm
from aio.models.errors import ModelError
from aio.models.experiments.plan import METHODS, PLAN_FILE, Plan, load_plan
from aio.models.settings import TrainSettings

HELP = "compare the All-in-One model with networks trained for one ratio each"
EXAMPLES = """\
examples:
  aio evaluate study --dataset clutter --epochs 30 --alone 0.5,0.9 --jobs 2   begin, in a new folder
  aio evaluate study --jobs 2                 go on where it was stopped
  aio evaluate study --report                 the table of what is done by now
  aio evaluate study --report --chart study.png --json
  aio evaluate quick --dataset digits --methods joint,dense,magnitude --ratios 0,0.5,0.9 --seeds 0
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add("folder", type=Path, help="holds the plan, a result per run, and the models")
    add("--seeds", type=_whole_numbers, metavar="N,N,...", help="a run of each (0,1,2)")
    add("--methods", type=_names, metavar="NAME,...", help=f"of {', '.join(METHODS)} (all)")
    add("--alone", type=ratio_list, metavar="R,R,...", help="ratios also trained alone (all)")
    add("--jobs", type=int, default=1, metavar="N", help="runs at a time, each a process (1)")
    add("--report", action="store_true", help="run nothing, print what is done")
    add("--chart", type=Path, metavar="FILE.png", help="also draw accuracy by ratio")
    add("--json", action="store_true", help="print the result as JSON")
    add("--run", metavar="NAME", help=argparse.SUPPRESS)  # what the queue calls
    add_setting_options(parser)


def run_for(folder: Path, settings: argparse.Namespace) -> int:
    """Do what `aio evaluate FOLDER` does, with the settings that another command was given."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args([str(folder)])
    for name, value in given_settings(settings).items():
        setattr(args, name, value)
    args.json = settings.json
    return run(args)


def run(args: argparse.Namespace) -> int:
    """Begin or continue a comparison and print its table."""
    plan = _plan(args)
    if args.run is not None:
        return _perform(plan, args.run, args.folder)
    failed: list[str] = []
    if not args.report:
        from aio.models.experiments.queue import run_command, work  # noqa: PLC0415

        # Otherwise the processes of a queue that is stopped would go on without it.
        with exit_on_sigterm():
            failed = work(plan, args.folder, args.jobs, run_command(args.folder), _say)
    from aio.models.experiments.report import as_text, compare, draw  # noqa: PLC0415

    comparison = compare(plan, args.folder)
    document = json.dumps(comparison.as_dict(), indent=2)
    (args.folder / "report.json").write_text(document + "\n", encoding="utf-8")
    (args.folder / "report.md").write_text(as_text(comparison) + "\n", encoding="utf-8")
    if args.chart is not None:
        draw(comparison, args.chart)
    print(document if args.json else as_text(comparison))
    return 1 if failed else 0


def _plan(args: argparse.Namespace) -> Plan:
    """Return the plan of the folder, made now if it has none.

    Raises:
        ModelError: the folder has another plan than the one asked for.
    """
    given = given_settings(args)
    if (args.folder / PLAN_FILE).exists():
        plan = load_plan(args.folder)
        if given or args.seeds or args.methods or args.alone:
            raise ModelError(
                f"{args.folder} holds a comparison with settings of its own: leave yours out to "
                "go on, or name another folder"
            )
        return plan
    if "dataset" not in given:
        return load_plan(args.folder)  # says that there is none
    methods = tuple(METHODS) if args.methods is None else args.methods
    plan = Plan(TrainSettings(**given), args.seeds or (0, 1, 2), methods, args.alone or ())
    args.folder.mkdir(parents=True, exist_ok=True)
    plan.save(args.folder)
    return plan


def _perform(plan: Plan, name: str, folder: Path) -> int:
    from aio.models.experiments.runner import perform  # noqa: PLC0415

    chosen = [run for run in plan.runs() if run.name == name]
    if not chosen:
        raise ModelError(f"no run {name!r} in the plan of {folder}")
    with epoch_progress(plan.epochs(chosen[0])) as on_epoch:
        perform(plan, chosen[0], folder, on_epoch)
    return 0


def _say(line: str) -> None:
    print(f"aio evaluate: {line}", file=sys.stderr, flush=True)


def _whole_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of seeds like 0,1,2") from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))
