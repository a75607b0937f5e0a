"""The U-Net, ENet and YOLOv8 that the benchmark times in PyTorch are those that it times here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.measurements import dense, torch_detection
from experiments.measurements.timing import Budget
from library import config, trees
from library.object_detection.suppression import suppressed

# Narrow networks of the same layers.
NARROW = {
    "unet": dict(size=dict(num_classes=5, widths=(4, 8, 12), dropout=0.0), sides=(16, 24)),
    "enet": dict(size=dict(num_classes=5, width=8, dropout=(0.0, 0.0)), sides=(32, 48)),
    "yolo_v8": dict(size=dict(num_classes=6, depth=0.33, width=0.1), sides=(64, 64)),
}


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    for name, values in NARROW.items():
        monkeypatch.setitem(dense.NETWORKS, name, dense.NETWORKS[name]._replace(**values))


def stirred(variables):
    """Returns variables whose biases, scales, slopes and statistics are random, too."""
    draw = np.random.default_rng(0)

    def moved(path, x):
        away = 0 if path.endswith("kernel") else draw.uniform(0.02, 0.1, x.shape)
        return np.float32(x + away)

    return trees.map_with_path(moved, variables)


def kernel(torch, layer, values):
    if isinstance(layer, torch.nn.ConvTranspose2d):
        return values[::-1, ::-1].transpose(2, 3, 0, 1)
    return values.transpose(3, 2, 0, 1)


NAMES = dict(kernel="weight", scale="weight", slope="weight", bias="bias")
STATISTICS = dict(mean="running_mean", var="running_var")


def both(torch, name):
    """Returns the network here with its variables, and that in PyTorch with the same."""
    network = dense.NETWORKS[name]
    spec = dict(name=name, **network.size, **network.fixed)
    model = config.build(spec, "library.models", "model")
    image = jnp.asarray(dense.batch(name)["image"])
    variables = stirred(jax.jit(model.init)(jax.random.key(0), image))
    theirs, filled = dense.their_network(name), 0
    for path, values in trees.flatten(variables["params"]).items():
        layer, _, leaf = path.rpartition("/")
        found = theirs.layers[layer]
        values = kernel(torch, found, values) if leaf == "kernel" else values
        target = getattr(found, NAMES[leaf])
        assert tuple(target.shape) == values.shape, path
        target.data = torch.from_numpy(np.ascontiguousarray(values))
        filled += values.size
    assert filled == sum(x.numel() for x in theirs.parameters())
    for path, values in trees.flatten(variables["batch_stats"]).items():
        layer, _, leaf = path.rpartition("/")
        setattr(theirs.layers[layer], STATISTICS[leaf], torch.from_numpy(values))
    return model, variables, theirs


@pytest.mark.parametrize("name", NARROW)
def test_networks_have_the_same_params_outputs_and_loss(torch, name):
    model, variables, theirs = both(torch, name)
    examples = dense.batch(name)
    ours = jax.tree.leaves(jax.jit(model.apply)(variables, jnp.asarray(examples["image"])))
    outputs = theirs.eval()(dense._their_image(name))
    found = [outputs] if name != "yolo_v8" else outputs
    for mine, their in zip(ours, found, strict=True):
        expected = their.detach().permute(0, 2, 3, 1).numpy()
        assert expected.std() > 0.01
        np.testing.assert_allclose(mine, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())

    task = dense.our_task(name)
    state = task.init(jax.random.key(0), jax.tree.map(jnp.asarray, examples))
    state = state.replace(params=variables["params"])
    state = state.replace(variables={"batch_stats": variables["batch_stats"]})
    total, weight = jax.jit(task.evaluate)(state, examples, jax.random.key(0))["loss"]
    loss = dense.their_loss(name)(outputs).item()
    assert total / weight == pytest.approx(loss, rel=1e-3)


def test_the_same_boxes_are_kept(torch, torchvision):
    random = np.random.default_rng(0)
    maps = [np.float32(random.normal(size=(2, 4 * 16 + 6, side, side))) for side in (8, 4, 2)]
    found = torch_detection.points([torch.from_numpy(each) for each in maps], 16, 64)
    kept = dict(num=20, least=0.6, overlap=0.4)
    theirs = torch_detection.detections(found, (64, 64), most=100, **kept)
    boxes, scores = found.boxes() / 64, found.classes.sigmoid()
    for image in range(2):
        # Scores that are equal in float32 have no order.
        values = scores[image].flatten()
        assert len(values.unique()) == len(values)
        rows = suppressed(
            jnp.asarray(boxes[image].clamp(0, 1).numpy()),
            jnp.asarray(scores[image].numpy()),
            candidates=100,
            **kept,
        )
        rows = rows[np.asarray(rows[:, 4]) > 0]
        assert len(rows) > 5
        np.testing.assert_allclose(rows, theirs[image].numpy(), atol=1e-6)


@pytest.mark.full
def test_they_are_timed_in_turn(torch, torchvision, monkeypatch):
    # Compiling asks for a C++ compiler and minutes: that it is asked for is enough here.
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda net: compiled.append(net) or net)
    monkeypatch.setitem(dense._KEPT, "num", 5)
    found = dense.dense(Budget(2, 1))
    assert len(compiled) == 3
    assert set(found) == {
        *(f"{name} step images/s" for name in dense.NETWORKS),
        *(
            f"{n} step to {kind}"
            for n in NARROW
            for kind in ("eager", "channels last", "torch.compile")
        ),
        "yolo_v8 detection images/s",
        "yolo_v8 detection to eager",
    }
    assert all(value > 0 for value in found.values())
