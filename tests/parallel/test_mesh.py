import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from library.config import ConfigError
from library.parallel.mesh import make_mesh


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        ({"data": 8}, (8, 1, 1)),
        ({"data": -1}, (8, 1, 1)),
        ({"fsdp": 2, "data": -1}, (4, 2, 1)),
        ({"tensor": 2, "data": 2, "fsdp": 2}, (2, 2, 2)),
        ({"tensor": -1}, (1, 1, 8)),
    ],
)
def test_axes_are_always_three_and_one_takes_what_is_left(sizes, shape):
    mesh = make_mesh(sizes)
    assert mesh.axis_names == ("data", "fsdp", "tensor")
    assert mesh.devices.shape == shape
    assert mesh.axis_types == (AxisType.Auto,) * 3


def test_the_devices_given_are_the_mesh_in_their_order():
    chosen = jax.devices()[4:8]
    assert list(make_mesh({"data": 2, "fsdp": -1}, chosen).devices.flat) == chosen
    assert make_mesh({}, chosen[:1]).devices.shape == (1, 1, 1)
    assert np.size(make_mesh({"data": -1}).devices) == 8
    assert make_mesh({}).devices.shape == (8, 1, 1)
    assert make_mesh({"fsdp": 4}).devices.shape == (2, 4, 1)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"dta": 8}, ["'dta'", "did you mean 'data'", "valid: data, fsdp, tensor"]),
        ({"data": 3}, ["{'data': 3}", "multiplies to 3", "8 devices", "{'data': 8, 'fsdp': 1"]),
        ({"data": 4, "fsdp": 4}, ["multiplies to 16", "8 devices"]),
        ({"data": -1, "fsdp": 3}, ["{'data': -1, 'fsdp': 3}", "multiplies to 3", "8 devices"]),
        ({"data": -1, "fsdp": -1}, ["{'data': -1, 'fsdp': -1}", "one may be -1"]),
        ({"data": 8, "fsdp": 0}, ["'fsdp': 0", "sizes are 1 or more"]),
        ({"data": "8"}, ["mesh axis data='8'", "expected int"]),
    ],
)
def test_errors_name_the_sizes_and_the_devices(sizes, said):
    with pytest.raises(ConfigError) as caught:
        make_mesh(sizes)
    for text in said:
        assert text in str(caught.value)
