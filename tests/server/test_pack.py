import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from vitreous.server.pack import Pack, signed_bytes


@given(arrays(np.float32, array_shapes(max_dims=3), elements=st.floats(-1e6, 1e6, width=32)))
def test_numbers_come_back_exactly_and_signed_ones_to_half_a_step(unpacked, values):
    pack = Pack(activity=[1.5])
    pack.add_signed("look", values, channels=range(len(values)))
    pack.add_colour("colour", np.zeros((1, 1, 1, 3), np.uint8), 1.0)  # three bytes: out of step
    pack.add_numbers("read", values)
    found = unpacked(pack.to_bytes())
    assert found["activity"] == [1.5]
    np.testing.assert_array_equal(found["blocks"]["read"][0], values)
    shown, header = found["blocks"]["look"]
    assert header["channels"] == list(range(len(values)))
    step = header["limit"] / 127
    back = (shown.astype(float) - 128) * step
    assert np.abs(back - values).max() <= step / 2 * (1 + 1e-5) + 1e-12


def test_zero_is_neutral_and_the_ends_are_the_limit():
    values = np.array([-3.0, -0.0, 0.0, 3.0, np.nan, np.inf, -np.inf])
    assert signed_bytes(values, 3.0).tolist() == [1, 128, 128, 255, 128, 255, 1]
    assert signed_bytes(np.zeros(2), 0.0).tolist() == [128, 128]
