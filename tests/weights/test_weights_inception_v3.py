import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from library.config import ConfigError
from library.models.image.inception_v3 import inception_v3
from library.weights import inception_v3 as published
from library.weights.mapping import assign


def test_a_missing_file_says_where_to_get_it(tmp_path):
    path = tmp_path / "absent.pth"
    with pytest.raises(ConfigError) as error:
        published.load(str(path), inception_v3())
    assert str(path) in str(error.value)
    assert "pt_inception-2015-12-05-6726825d.pth" in str(error.value)
    assert "pytorch-fid" in str(error.value)


def test_weights_of_another_network_are_listed(tmp_path, monkeypatch):
    path = tmp_path / "x.pth"
    path.write_bytes(b"x")
    arrays = {
        "fc.bias": np.zeros(10),
        "layer1.weight": np.zeros(1),
        "Conv2d_1a_3x3.bn.num_batches_tracked": np.zeros(()),
        "AuxLogits.fc.bias": np.zeros(1000),
    }
    monkeypatch.setattr(published.files, "read", lambda path: arrays)
    with pytest.raises(ConfigError) as error:
        published.load(str(path), inception_v3())
    message = str(error.value)
    assert "batch_stats/conv2d_1a_3x3/norm/mean" in message
    assert "fc.bias (10,) for params/head/bias (1000,) of another shape" in message
    assert message.endswith("\n  layer1.weight without a place in the model")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("Mixed_7c.branch3x3dbl_3a.conv.weight", "params/mixed_7c/branch3x3dbl_3a/conv/kernel"),
        ("AuxLogits.conv1.bn.running_var", "batch_stats/auxlogits/conv1/norm/var"),
        ("AuxLogits.fc.weight", "params/auxlogits/fc/kernel"),
        ("fc.weight", "params/head/kernel"),
    ],
)
def test_places_of_names(name, path):
    array = np.ones((2, 2, 2, 2) if "conv.weight" in name else (2, 2))
    shapes = unflatten_dict({path: array}, sep="/")
    found = assign({name: array}, published.RULES, shapes, where="x")
    np.testing.assert_array_equal(flatten_dict(found, sep="/")[path], array)
