"""Decoders by name: what answers for each pixel, on the features of any network for pictures."""

UNET, PYRAMID = "unet:", "fpn:"
DECODERS = (UNET, PYRAMID)


def is_decoder(name: str) -> bool:
    """Whether a network's full name is that of a decoder on another one's features.

    >>> is_decoder("fpn:timm:resnet18"), is_decoder("unet")
    (True, False)
    """
    return name.startswith(DECODERS)


def decoded_features(name: str) -> str:
    """The network whose features a decoder reads; of others their own name.

    >>> decoded_features("unet:resnet"), decoded_features("fpn:timm:resnet18")
    ('resnet', 'timm:resnet18')
    """
    return name.partition(":")[2] if is_decoder(name) else name
