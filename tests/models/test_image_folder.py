# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
import torch
from PIL import Image

from aio.models import ModelError
from aio.models.data import image_folder
from aio.models.recipes import make_net, make_source
from aio.models.settings import TrainSettings

COLOURS = {"blue": (0, 0, 255), "red": (255, 0, 0)}


def write_images(root: Path, count: int = 5) -> None:
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (20, 12), colour).save(root / name / f"{index}.png")


def test_parts_are_read_from_their_folders(tmp_path: Path) -> None:
    write_images(tmp_path / "train", 3)
    write_images(tmp_path / "val", 2)
    found = image_folder.find(tmp_path)
    assert found.labels == ("blue", "red")
    assert [label for _, label in found.train] == [0, 0, 0, 1, 1, 1]
    assert {path.parent.parent.name for path, _ in found.held_out} == {"val"}


def test_one_in_five_is_held_out_of_a_single_folder(tmp_path: Path) -> None:
    write_images(tmp_path, 10)
    found = image_folder.find(tmp_path)
    assert len(found.train) == 16
    assert [label for _, label in found.held_out] == [0, 0, 1, 1]
    assert not {path for path, _ in found.train} & {path for path, _ in found.held_out}


def test_images_are_scaled_and_cut(tmp_path: Path) -> None:
    write_images(tmp_path)
    (tmp_path / "red" / "grey.png").unlink(missing_ok=True)
    Image.new("L", (7, 30), 255).save(tmp_path / "red" / "0.png")
    paths = [tmp_path / "blue" / "0.png", tmp_path / "red" / "0.png"]
    pixels = image_folder.FolderImages(paths, 16).at(torch.tensor([1, 0]))
    assert pixels.shape == (2, 3, 16, 16)
    assert torch.equal(pixels[0], torch.ones(3, 16, 16))
    assert pixels[1].amax(dim=(1, 2)).tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"x.png can't be decoded"):
        image_folder.decode(path, 8)


def test_a_truncated_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ModelError, match=r"x.jpg can't be decoded"):
        image_folder.decode(path, 8)


def test_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a folder"):
        image_folder.find(tmp_path / "missing")
    with pytest.raises(ModelError, match="holds 0 folders, expected one per class"):
        image_folder.find(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(ModelError, match=r"/a holds no images; known are .bmp"):
        image_folder.find(tmp_path)


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path, 3)
    with pytest.raises(ModelError, match="too few images"):
        image_folder.find(tmp_path)


def test_a_source_is_made_of_them(tmp_path: Path) -> None:
    write_images(tmp_path)
    settings = TrainSettings(dataset="folder", data=str(tmp_path), side=32, network="resnet20")
    source = make_source(settings)
    assert source.shape == (3, 32, 32)
    assert source.labels == ("blue", "red")
    batch = next(source.train_batches(4, torch.Generator().manual_seed(0)))
    images, labels = batch.part(0, 2)
    assert images.shape == (2, 3, 32, 32)
    assert labels.shape == (2,)
    assert make_net(settings, source)(images).shape == (2, 2)


def test_settings_and_data_must_fit() -> None:
    with pytest.raises(ModelError, match="--data is missing"):
        make_source(TrainSettings(dataset="folder"))
    with pytest.raises(ModelError, match="'digits' reads no folder"):
        make_source(TrainSettings(data="somewhere"))
    with pytest.raises(ModelError, match="'resnet18' does not take the 1x8x8 images of 'digits'"):
        make_net(TrainSettings(network="resnet18"), make_source(TrainSettings()))
