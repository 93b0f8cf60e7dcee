# SPDX-License-Identifier: Apache-2.0
"""`aio export`: a model file of several ratios from weights that were trained densely."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio.models.commands.setting_options import ratio_list
from aio.models.errors import ModelError
from aio.models.files import check_writable
from aio.models.settings import ALLOCATIONS

if TYPE_CHECKING:
    from aio.models.manifest import Model
    from aio.models.post_training import Calibration

HELP = "make a model file of several ratios from a trained network, without training"
EXAMPLES = """\
examples:
  aio export --from resnet18.pth --network resnet18 --calibrate photos --imagenet
  aio export --from net.pt --network resnet20 --calibrate images.npz --test test.npz --permute
  aio export --from mine.pt --network mypackage.nets:make --calibrate images.npz
  aio export --from a.aio --add-ratio 0.75,0.85 --calibrate photos --imagenet --output b.aio

a folder holds a folder of images per class (or train/ and val/ of these); an .npz file holds
arrays 'images' as the network takes them and, for --test, 'labels'
"""
# Without training a level beyond these answers worse than a smaller network would.
_RATIOS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add(
        "--from",
        dest="source",
        type=Path,
        required=True,
        metavar="FILE",
        help="weights: a state dict of torch for --network, or a model file for --add-ratio",
    )
    add(
        "--network",
        metavar="NAME",
        help="network of the zoo that the weights are of, or package.module:function",
    )
    add(
        "--calibrate",
        type=Path,
        required=True,
        metavar="DIR|FILE.npz",
        help="images to measure statistics on; some hundred do",
    )
    add(
        "--test",
        type=Path,
        metavar="DIR|FILE.npz",
        help="labelled images to judge levels by (the held-out part of --calibrate DIR)",
    )
    add("--images", type=int, default=256, help="how many to measure statistics on (256)")
    add("--side", type=int, default=224, help="pixels per side of images of a folder (224)")
    add("--imagenet", action="store_true", help="normalise images of a folder as ImageNet's are")
    add(
        "--ratios",
        type=ratio_list,
        default=_RATIOS,
        metavar="R,R,...",
        help=f"pruning ratio per level ({','.join(f'{ratio:g}' for ratio in _RATIOS)})",
    )
    add(
        "--allocation",
        choices=[a for a in ALLOCATIONS if a != "cost"],
        default="uniform",
        help="how layers share a ratio (uniform)",
    )
    add("--permute", action="store_true", help="group channels of similar importance first")
    add("--add-ratio", type=ratio_list, metavar="R,R,...", help="add levels to a model file")
    add("--output", type=Path, metavar="FILE", help="model file to write (name of --from).aio")
    add("--name", help="what the model is called when served (name of --output)")
    add("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Make the levels, write the file, judge it through the executor."""
    from aio.models.post_training import finish, read_images  # noqa: PLC0415

    if args.images < 2:
        raise ModelError(f"--images {args.images} is too few for statistics, some hundred do")
    output = args.output or args.source.with_suffix(".aio")
    if output == args.source and args.output is None:
        raise ModelError("--output is missing: the model file would replace the one it comes from")
    check_writable(output)
    normalise = _IMAGENET if args.imagenet else None
    data = read_images(args.calibrate, args.test, args.images, args.side, normalise)
    content, levels = _levels(args, data, args.name or output.stem)
    found = finish(content, levels, data, output)
    _report(found, data, output, as_json=args.json)
    return 0


def _levels(args: argparse.Namespace, data: "Calibration", name: str) -> tuple["Model", list[int]]:
    """Return the content of the file, and which levels have statistics of another one."""
    from aio.models import post_training  # noqa: PLC0415
    from aio.models.trained_weights import load_network  # noqa: PLC0415

    if args.add_ratio is not None:
        from aio.models.reading import add_ratios, read_model  # noqa: PLC0415

        if args.network is not None:
            raise ModelError("--add-ratio reads a model file, which needs no --network")
        return add_ratios(read_model(args.source), args.add_ratio)
    if args.network is None:
        raise ModelError("--network is missing: a state dict has weights, but no network")
    net = load_network(args.source, args.network, data.images.shape[1])
    content = post_training.dense_content(
        net, data, args.ratios, args.allocation, name=name, permute=args.permute
    )
    return content, list(range(1, len(args.ratios)))


def _report(found: dict[str, Any], data: "Calibration", output: Path, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"output": str(output), **found}, indent=2))
        return
    for text in found["notes"]:
        print(f"note: {text}")
    print(f"statistics of {len(data.images)} images")
    if found["accuracy"] is None:
        print("accuracy is not known: there are no labelled images; name some with --test")
        print(f"{output}: ratios {', '.join(f'{ratio:g}' for ratio in found['ratios'])}")
        return
    print(f"accuracy on {found['test_images']} labelled images, through the executor")
    print(f"{'level':>5} {'ratio':>6} {'accuracy':>9}")
    for level, ratio in enumerate(found["ratios"]):
        print(f"{level:>5} {ratio:>6.2f} {found['accuracy'][level]:>9.2%}")
    print(f"{output}: {found['size_bytes']:,} bytes")
