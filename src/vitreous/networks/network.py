"""A network: features, then a head."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from vitreous.errors import RequestError
from vitreous.networks.cards import HasMeanAndStd, NetworkCard, input_to_json, scaling_to_json
from vitreous.networks.heads.segment import cut
from vitreous.networks.modes import evaluating

OWN = "own"
"""The card's name of a network that the user's own code made."""

Strides = tuple[tuple[int, ...], ...]


class Network(nn.Module):
    """`features(inputs)` returns maps, finest first; `head(maps)` answers.

    `features.strides` has input cells per map cell, one number an axis, for each map;
    `features.channels` the number of channels of each map.
    """

    def __init__(self, features: nn.Module, head: nn.Module, card: NetworkCard):
        super().__init__()
        self.features = features
        self.head = head
        self.card = card

    def forward(self, inputs: Tensor) -> Any:
        """(batch, outputs) from scaled pictures (batch, channels, height, width)."""
        maps = self.features(inputs)
        return self.head(maps)

    @property
    def dense(self) -> bool:
        """Whether it answers for each cell of the input."""
        return bool(getattr(self.head, "dense", False))

    @classmethod
    def of(
        cls,
        features: nn.Module,
        head: nn.Module,
        input_shape: tuple[int, int, int],
        *,
        name: str = OWN,
        scaling: HasMeanAndStd | None = None,
    ) -> "Network":
        """A network of any two modules, for pictures of (channels, height, width).

        `features` returns one map (batch, channels, height, width), which `head` takes, or a
        list of maps, finest first, which `head` takes. Strides, channels and outputs are found
        by running both once. Raises `RequestError` where the modules do not fit each other.
        """
        maps = run_once(features, torch.zeros(1, *input_shape), "features")
        wrapped_head = SingleMapHead(head) if isinstance(maps, Tensor) else head
        found = [maps] if isinstance(maps, Tensor) else list(maps)
        wrapped = MeasuredFeatures(features, *measure_maps(found, input_shape[1:]))
        answer = run_once(wrapped_head, found, "head")
        both = nn.ModuleList([features, head])
        card = replace(
            cls.own_card(both, input_shape, answer.shape[-1], scaling),
            name=name,
            features=type(features).__name__,
            head=type(head).__name__,
        )
        return cls(wrapped, wrapped_head, card)

    @staticmethod
    def own_card(
        network: nn.Module,
        input_shape: tuple[int, int, int],
        outputs: int,
        scaling: HasMeanAndStd | None = None,
    ) -> NetworkCard:
        """The card of any module that the user's own code made, a `Network` or not."""
        own = getattr(network, "card", None)
        kind = type(network).__name__
        return NetworkCard(
            name=OWN,
            features=own.features if isinstance(own, NetworkCard) else kind,
            head=own.head if isinstance(own, NetworkCard) else kind,
            input=input_to_json(input_shape),
            outputs=outputs,
            parameters=count_parameters(network),
            scaling=scaling_to_json(scaling, input_shape[0]),
        )


class DenseNetwork(Network):
    """A network that answers for each cell: (batch, outputs, *space) of inputs of that space."""

    def forward(self, inputs: Tensor) -> Any:
        """Logits as large as the input; while training, coarser ones may follow in a list."""
        answer = self.head(self.features(inputs))
        if isinstance(answer, list):
            return [cut(answer[0], inputs.shape[2:]), *answer[1:]]
        return cut(answer, inputs.shape[2:])


class MeasuredFeatures(nn.Module):
    """Any module that makes maps, as features: a list of maps, with strides and channels."""

    def __init__(self, module: nn.Module, channels: tuple[int, ...], strides: Strides):
        super().__init__()
        self.module = module
        self.channels = channels
        self.strides = strides

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """The module's maps, finest first."""
        maps = self.module(inputs)
        return [maps] if isinstance(maps, Tensor) else list(maps)


class SingleMapHead(nn.Module):
    """A head that takes one map, not a list."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, maps: list[Tensor]) -> Tensor:
        """The module's answer to the last map."""
        return self.module(maps[-1])


def count_parameters(module: nn.Module) -> int:
    """Trained numbers; shared ones count once."""
    return sum(parameter.numel() for parameter in module.parameters())


def measure_maps(maps: Sequence[Tensor], space: Sequence[int]) -> tuple[tuple[int, ...], Strides]:
    """Channels and strides of maps of an input of size `space`: the nearest whole strides.

    Raises `RequestError` for what is no map (batch, channels, *space), or not finest first.
    """
    for shape in (tuple(each.shape) for each in maps):
        if len(shape) != 2 + len(space):
            raise RequestError(
                f"features returned {' x '.join(map(str, shape))}, which is no map of batch x "
                f"channels x {len(space)} axes; leave flattening to the head"
            )
    strides = tuple(
        tuple(
            max(1, round(size / cells)) for size, cells in zip(space, each.shape[2:], strict=True)
        )
        for each in maps
    )
    if list(strides) != sorted(strides):
        raise RequestError(f"features returned maps of strides {strides}; return the finest first")
    return tuple(each.shape[1] for each in maps), strides


def run_once(module: nn.Module, inputs, what: str):
    """The module's answer in eval mode; its mode stays. Raises `RequestError` where it fails."""
    try:
        with evaluating(module):
            return module(inputs)
    except RuntimeError as error:
        shape = inputs.shape if isinstance(inputs, Tensor) else inputs[-1].shape
        reason = str(error).strip().split("\n")[0]
        raise RequestError(
            f"{what} {type(module).__name__} cannot take {' x '.join(map(str, shape))}: {reason}; "
            "give it another size or another number of channels"
        ) from error
