import re

import numpy as np

from vitreous.convolution import convolution_terms


def numbers_in(html: str) -> list[float]:
    return [float(found) for found in re.findall(r">(-?[\d.]+(?:e[-+]\d+)?)</td>", html)]


def test_small_kernels_are_shown_whole():
    inputs = np.arange(16.0).reshape(1, 4, 4)
    terms = convolution_terms(inputs, np.full((1, 1, 2, 2), 0.5), [0.25], cell=(0, 1, 1))
    html = terms._repr_html_()
    assert numbers_in(html)[:4] == [5.0, 6.0, 9.0, 10.0]  # the window
    assert "sum of 4 products 15 + bias 0.25 = <b>15.25</b>" in html


def test_many_channels_and_large_kernels_are_summed_up():
    random = np.random.default_rng(0)
    inputs = random.normal(size=(8, 20, 20))
    small = convolution_terms(inputs, random.normal(size=(1, 8, 3, 3)), cell=(0, 5, 5))
    html = small._repr_html_()
    rest = float(re.search(r"5 more channels: (\S+)</p>", html)[1])
    assert abs(rest - small.channel_sums[3:].sum()) < 1e-4
    large = convolution_terms(inputs, random.normal(size=(1, 8, 13, 13)), cell=(0, 5, 5))
    assert "1340 more" in large._repr_html_()
