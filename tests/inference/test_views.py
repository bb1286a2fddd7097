import pytest
import torch

from vitreous.data.transforms import Scaling
from vitreous.inference import Views, outputs_of
from vitreous.inference.views import averaged


def slow(network, picture, mirrored, shift, upside_down=False):
    """One picture, one view after the other; borders are mirrored by counting pixels."""
    channels, height, width = picture.shape

    def at(y, x, flip):
        y, x = abs(y), abs(x)
        y, x = min(y, 2 * (height - 1) - y), min(x, 2 * (width - 1) - x)
        return picture[:, y, width - 1 - x if flip else x]

    if upside_down:
        turned = torch.flip(picture, (1,))
        both = [slow(network, each, mirrored, shift) for each in (picture, turned)]
        return (both[0] + both[1]) / 2
    total = torch.zeros(())
    for flip in (False, True) if mirrored else (False,):
        for offset, weight in ((0, 0.5), (-shift, 0.25), (shift, 0.25)) if shift else ((0, 1.0),):
            view = torch.empty(channels, height, width)
            for y in range(height):
                for x in range(width):
                    view[:, y, x] = at(y + offset, x + offset, flip)
            total = total + weight / (1 + mirrored) * network(view[None])
    return total[0]


def unequal(inputs):
    """Answers that a shift or a mirroring changes."""
    places = torch.arange(inputs[0].numel(), dtype=torch.float32).reshape(inputs[0].shape)
    return torch.stack([(inputs * places).sum((1, 2, 3)), (inputs**2 * places).sum((1, 2, 3))], 1)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("upside_down", [False, True])
@pytest.mark.parametrize("shift", [0, 1, 2])
def test_views_are_those_of_a_slow_loop(mirrored, upside_down, shift):
    inputs = torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    views = Views(mirrored, shift, upside_down=upside_down)
    found = averaged(unequal, inputs, views)
    expected = torch.stack([slow(unequal, each, mirrored, shift, upside_down) for each in inputs])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-3)
    weights = [weight for weight, _ in views.of(inputs)]
    assert sum(weights) == 1.0
    assert len(weights) == views.count


def test_scoring_and_predicting_take_the_views():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    pixels = torch.arange(24, dtype=torch.uint8).reshape(2, 1, 3, 4)
    scaling = Scaling((0.0,), (1.0,))
    plain, both, turned = (
        next(outputs_of(network, [batch], scaling, views=views))
        for batch, views in (
            (pixels, Views()),
            (pixels, Views(mirrored=True)),
            (pixels.flip(3), Views()),
        )
    )
    torch.testing.assert_close(both, (plain + turned) / 2)
    assert not torch.allclose(both, plain)


def test_a_picture_of_one_pixel_is_not_shifted():
    inputs = torch.ones(1, 1, 1, 1)
    assert [weight for weight, _ in Views(shifted_pixels=2).of(inputs)] == [1.0]
