"""TensorBoard gets what evaluations make, and what the run was told."""

import io

import numpy as np
from PIL import Image
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from library.run import evaluating
from tests import tiny
from tests.run.events import values

IMAGES = np.arange(4 * 6 * 5 * 3, dtype=np.uint8).reshape(4, 6, 5, 3)
TEXT = "# not a heading\n two"


def run(tmp_path, monkeypatch, **changes):
    tiny.serve(monkeypatch, train=tiny.arrays(50), test=tiny.arrays(21, seed=1))
    made = {"test/loss": 1.0, "test/made": IMAGES, "test/said": np.array([TEXT])}
    made |= {"test/curve": np.zeros(3), "test/absent": float("nan")}
    monkeypatch.setattr(evaluating, "measured", lambda *_: made)
    evaluate = dict(test=dict(kind="metrics", every="6 steps"))
    plan = tiny.plan_on(1, evaluate=evaluate, **changes)
    tiny.run(plan, tmp_path)
    return plan


def test_images_and_texts_of_each_evaluation(tmp_path, monkeypatch, caplog):
    plan = run(tmp_path, monkeypatch)
    shown = values(tmp_path)
    assert [step for step, _ in shown["test/made"]] == [6, 12]
    image = shown["test/made"][0][1].image
    drawn = Image.open(io.BytesIO(image.encoded_image_string))
    assert drawn.size == (image.width, image.height)
    file = tmp_path / "samples" / "test_made" / "00000006.png"
    assert image.encoded_image_string == file.read_bytes()
    ((step, text), _) = shown["test/said/text_summary"]
    assert (step, text.tensor.string_val) == (6, [b"    # not a heading\n     two"])
    assert "test/curve" not in shown
    # A value that is not finite is no event of its own for a user.
    assert np.isnan(shown["test/absent"][0][1].simple_value)
    assert not [each for each in caplog.records if each.name.startswith("tensorboardX")]
    # A start that only misses the summary evaluates again, and copies nothing twice.
    tiny.run(plan, tmp_path)
    assert [step for step, _ in values(tmp_path)["test/made"]] == [6, 12]


def test_the_config_as_hyperparameters(tmp_path, monkeypatch):
    run(tmp_path, monkeypatch, total="3 steps", checkpoint=dict(best="test/loss"))
    shown = values(tmp_path)

    def told(tag):
        ((_, value),) = shown[f"_hparams_/{tag}"]
        return HParamsPluginData.FromString(value.metadata.plugin_data.content)

    given = told("session_start_info").session_start_info.hparams
    assert given["optimizer.learning_rate"].number_value == 0.1
    assert given["model.name"].string_value == "mlp.mlp"
    metrics = told("experiment").experiment.metric_infos
    assert [each.name.tag for each in metrics] == ["test/loss"]
