"""Networks with weights drawn by name compute what their references do, kept in goldens.json."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.weights import catalogue, records
from library.weights.drawn import variables_of
from tests import goldens, often

# Each has a relative among the others.
RARELY = (
    *("inception_v3", "googlenet", "deit_tiny_distilled_patch16_224", "mobilenet_v3_small"),
    *(
        "swin_t",
        "efficientnet_b0",
        "mobilenet_v2",
        "mixer_s16_224",
        "shufflenet_v2_x0_5",
        "resnetv2_18",
    ),
)


@pytest.mark.parametrize("name", often.but(RARELY, goldens.compared()))
def test_logits_and_stages_are_the_references(name):
    published, golden = catalogue.find(name), goldens.read()[name]
    model, size = published.build(), goldens.SIZES[name]
    apply = jax.jit(lambda v, x: model.apply(v, x, mutable=["intermediates"]))
    logits, recorded = apply(variables_of(published, model, size), jnp.asarray(goldens.image(size)))
    allowed = records.allowed("logits", golden["noise"])
    error = np.abs(logits[0, :: goldens.EVERY] - np.array(golden["logits"])).max()
    assert error / golden["largest"] <= allowed
    assert len(golden["sums"]) == len(published.stages) > 0
    for stage, sums in golden["sums"].items():
        found = goldens.sums(recorded["intermediates"][stage])
        # Relative to what is summed: a sum itself may be near zero.
        assert np.abs(np.subtract(found, sums)).max() / sums[1] <= allowed, stage
