"""Files of Darknet are read as its program writes them."""

import functools
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from library.config import ConfigError
from library.models.dense.yolo_v2 import YOLOv2
from library.models.dense.yolo_v3 import YOLOv3
from library.models.image.darknet import Darknet
from library.weights import catalogue, darknet, loading

# (name, window, channels out, normalized) in the order of yolov3.cfg with a block a stage.
SMALL = dict(width=2, normalization="batch")


@functools.cache
def shapes_of(model):
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


def write(path, model, version=(0, 2, 0), cut=0):
    """Writes a file as parser.c does, of drawn values; returns these by path of the leaf."""
    random, leaves = np.random.default_rng(0), flatten_dict(shapes_of(model), sep="/")
    seen = struct.pack("<q" if version >= (0, 2) else "<i", 64)
    content, values = struct.pack("<3i", *version) + seen, {}
    for name in darknet.order(model):
        own = f"{name}_norm"
        parts = [f"params/{name}/bias"]
        if f"params/{own}/scale" in leaves:
            parts = [f"params/{own}/bias", f"params/{own}/scale"]
            parts += [f"batch_stats/{own}/mean", f"batch_stats/{own}/var"]
        for leaf in [*parts, f"params/{name}/kernel"]:
            values[leaf] = random.normal(size=leaves[leaf].shape).astype(np.float32)
            x = values[leaf]
            content += (np.moveaxis(x, (-1, -2), (0, 1)) if x.ndim > 1 else x).tobytes()
    path.write_bytes(content[: len(content) - cut])
    return values


MODELS = {
    "darknet19": Darknet(num_classes=4, blocks=(), **SMALL),
    "darknet53": Darknet(num_classes=4, blocks=(1, 1, 1, 1, 1), **SMALL),
    "yolo_v2": YOLOv2(num_classes=3, num_anchors=2, **SMALL),
    "yolo_v3": YOLOv3(num_classes=3, blocks=(1, 1, 1, 1, 1), **SMALL),
}


@pytest.mark.parametrize("name", MODELS)
def test_each_value_goes_where_it_belongs(tmp_path, name):
    model, path = MODELS[name], tmp_path / "a.weights"
    values = write(path, model)
    found = flatten_dict(darknet.load(model, path, shapes_of(model)), sep="/")
    assert set(found) == set(values)
    for leaf, value in values.items():
        np.testing.assert_array_equal(found[leaf], value, err_msg=leaf)


def test_the_order_is_that_of_the_cfg_files():
    assert darknet.order(MODELS["darknet19"])[:6] == (
        *("stage1_conv1", "stage2_conv1", "stage3_conv1", "stage3_conv2", "stage3_conv3"),
        "stage4_conv1",
    )
    assert len(darknet.order(Darknet())) == 53
    assert len(darknet.order(Darknet(blocks=()))) == 19
    # yolov2.cfg has 23 convolutions, yolov3.cfg 75, three of them after the first 52 and 7 more.
    assert len(darknet.order(YOLOv2())) == 23
    names = darknet.order(YOLOv3())
    assert len(names) == 75
    assert names[52] == "neck3_conv1"
    assert names[58:61] == ("head3", "up2", "neck2_conv1")


def test_older_files_have_a_shorter_header(tmp_path):
    model, path = MODELS["darknet19"], tmp_path / "a.weights"
    values = write(path, model, version=(0, 1, 0))
    found = darknet.load(model, path, shapes_of(model))
    kernel = found["params"]["stage1_conv1"]["kernel"]
    np.testing.assert_array_equal(kernel, values["params/stage1_conv1/kernel"])


def test_a_file_of_another_network_is_refused(tmp_path):
    path = tmp_path / "a.weights"
    write(path, MODELS["darknet19"])
    other = Darknet(num_classes=5, blocks=(), **SMALL)
    with pytest.raises(ConfigError, match=r"values and ends within head\.weights"):
        darknet.load(other, path, shapes_of(other))
    fewer = Darknet(num_classes=3, blocks=(), **SMALL)
    with pytest.raises(ConfigError, match=r"values, but the network has .* number of classes"):
        darknet.load(fewer, path, shapes_of(fewer))
    write(path, MODELS["darknet19"], cut=2)
    with pytest.raises(ConfigError, match="it is cut short"):
        darknet.load(other, path, shapes_of(other))
    path.write_bytes(b"no")
    with pytest.raises(ConfigError, match="2 bytes are no header"):
        darknet.load(other, path, shapes_of(other))
    with pytest.raises(ConfigError, match="there is no such file"):
        darknet.load(other, tmp_path / "b.weights", shapes_of(other))


def test_a_network_of_the_catalogue_is_read_from_its_file(tmp_path, monkeypatch):
    small = dict(name="darknet.darknet19", num_classes=4, **SMALL)
    published = catalogue.find("darknet19")._replace(model=small)
    values = write(tmp_path / "a.weights", MODELS["darknet19"])
    found = loading.load(published, published.build(), tmp_path / "a.weights")
    np.testing.assert_array_equal(found["params"]["head"]["bias"], values["params/head/bias"])
