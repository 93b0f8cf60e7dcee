# SPDX-License-Identifier: Apache-2.0
"""Networks by name. State-dict names are torchvision's where torchvision has the network."""

from collections.abc import Callable

from torch import nn

from aio.models.densenet import DenseNet
from aio.models.digits_resnet import DigitsResNet
from aio.models.efficientnet import EfficientNet
from aio.models.errors import ModelError
from aio.models.imported import imported_network, is_place
from aio.models.mobilenet import MobileNetV2, check_width
from aio.models.mobilenet_v3 import MobileNetV3Large
from aio.models.resnet import ResNet
from aio.models.resnet_small import SmallResNet
from aio.models.vgg import VGG

__all__ = [
    "densenet121",
    "digits_resnet",
    "efficientnet_b0",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "network",
    "resnet18",
    "resnet20",
    "resnet20_strided",
    "resnet34",
    "resnet50",
    "vgg16_bn",
]


def resnet18(num_classes: int = 1000) -> ResNet:
    """Return a ResNet-18 with random weights."""
    return ResNet((2, 2, 2, 2), _check_classes(num_classes))


def resnet20(num_classes: int = 10, channels_in: int = 3) -> SmallResNet:
    """Return the ResNet-20 for images of 32x32 pixels with random weights."""
    return SmallResNet(3, _check_classes(num_classes), channels_in)


def resnet20_strided(num_classes: int = 10, channels_in: int = 3) -> SmallResNet:
    """Return a ResNet-20 whose stem halves the image: 10 instead of 41 million MACs."""
    return SmallResNet(3, _check_classes(num_classes), channels_in, stem_stride=2)


def resnet34(num_classes: int = 1000) -> ResNet:
    """Return a ResNet-34 with random weights."""
    return ResNet((3, 4, 6, 3), _check_classes(num_classes))


def resnet50(num_classes: int = 1000) -> ResNet:
    """Return a ResNet-50 with random weights."""
    return ResNet((3, 4, 6, 3), _check_classes(num_classes), bottleneck=True)


def mobilenet_v2(num_classes: int = 1000, width_mult: float = 1.0) -> MobileNetV2:
    """Return a MobileNetV2 with random weights; `width_mult` scales its channels."""
    return MobileNetV2(_check_classes(num_classes), check_width(width_mult))


def mobilenet_v3_large(num_classes: int = 1000) -> MobileNetV3Large:
    """Return a MobileNetV3-Large with random weights."""
    return MobileNetV3Large(_check_classes(num_classes))


def efficientnet_b0(num_classes: int = 1000) -> EfficientNet:
    """Return an EfficientNet-B0 with random weights."""
    return EfficientNet(_check_classes(num_classes))


def densenet121(num_classes: int = 1000) -> DenseNet:
    """Return a DenseNet-121 with random weights."""
    return DenseNet((6, 12, 24, 16), 32, _check_classes(num_classes))


def vgg16_bn(num_classes: int = 1000) -> VGG:
    """Return a VGG-16 with batch normalisation and random weights; exports at 224 x 224."""
    stages = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
    return VGG(stages, _check_classes(num_classes))


def digits_resnet(num_classes: int = 10) -> DigitsResNet:
    """Return the network of the shipped digits model with random weights."""
    return DigitsResNet(_check_classes(num_classes))


SMALL_IMAGES = {"resnet20": resnet20, "resnet20_strided": resnet20_strided}
"""Networks that also take images of other than three channels."""

NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "densenet121": densenet121,
    "digits_resnet": digits_resnet,
    "efficientnet_b0": efficientnet_b0,
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3_large": mobilenet_v3_large,
    "resnet18": resnet18,
    **SMALL_IMAGES,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "vgg16_bn": vgg16_bn,
}


def network(name: str, num_classes: int, channels_in: int = 3) -> nn.Module:
    """Return a network by name with random weights.

    Args:
        name: of the zoo, or `package.module:function` for one of the user's own.
        num_classes: outputs; a network of the user's own has what it has.
        channels_in: of the images, as above.

    Raises:
        ModelError: there is none of this name.
    """
    if is_place(name):
        return imported_network(name)
    if name not in NETWORKS:
        raise ModelError(
            f"no network {name!r}, there are: {', '.join(NETWORKS)}, and package.module:function "
            "for one of your own"
        )
    if name in SMALL_IMAGES:
        return SMALL_IMAGES[name](num_classes, channels_in)
    return NETWORKS[name](num_classes)


def _check_classes(num_classes: int) -> int:
    if num_classes < 1:
        raise ModelError(f"num_classes {num_classes} is not positive")
    return num_classes
