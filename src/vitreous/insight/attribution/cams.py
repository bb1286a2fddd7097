"""Class activation maps: a layer's maps, weighed by what the answer gains from each cell.

They keep the sign: what speaks against an answer is part of why it was given.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from vitreous.insight.attribution.layers import run_from
from vitreous.insight.attribution.target import scores


def hirescam(maps: Tensor, gradients: Tensor) -> Tensor:
    """(batch, *cells): the sum over channels of map times gradient, cell by cell.

    R. Draelos and L. Carin, "Use HiResCAM instead of Grad-CAM", arXiv 2011.08891, equation 3. In a
    network that ends in one linear layer the cells sum to the output less its bias, so that no
    cell is shown that was not used.
    """
    return (maps * gradients).sum(1)


def layercam(maps: Tensor, gradients: Tensor) -> Tensor:
    """(batch, *cells): as HiResCAM, with negative gradients left out.

    P.-T. Jiang et al., "LayerCAM", IEEE TIP 30, 2021, equations 5 and 6; the ReLU at the end is
    left out here, so that maps of layers with negative values keep their sign.
    """
    return (maps * gradients.relu()).sum(1)


def cells_of(
    network: nn.Module,
    inputs: Tensor,
    layers: Sequence[str],
    weigh: Callable[[Tensor], Tensor],
    combine: Callable[[Tensor, Tensor], Tensor],
) -> tuple[list[Tensor], Tensor]:
    """The map at each of the layers, (batch, *cells), and the explained numbers, (batch,).

    `weigh` makes of the outputs (batch, outputs) what each counts for in the explained number.
    One pass forward, and one back from the answer to the layers, none of which leads to another.
    """
    maps, outputs = run_from(network, inputs, layers)
    with torch.enable_grad():
        score = scores(outputs, weigh(outputs.detach()))
    if not score.requires_grad:  # the layers lead nowhere
        return [torch.zeros_like(each[:, 0]) for each in maps], score
    gradients = torch.autograd.grad(score.sum(), maps, allow_unused=True, materialize_grads=True)
    pairs = zip(maps, gradients, strict=True)
    return [combine(each.detach(), one).detach() for each, one in pairs], score.detach()
