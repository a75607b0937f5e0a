"""Complete overlaps of boxes are those of torchvision."""

import jax.numpy as jnp
import numpy as np

from library.object_detection.boxes import complete_overlap


def test_complete_overlap(torchvision, torch):
    random = np.random.default_rng(0)
    low = random.uniform(0, 60, (2, 100, 2))
    boxes = np.concatenate([low, low + random.uniform(1, 40, low.shape)], axis=-1)
    ours, theirs = boxes.astype(np.float32)
    found = complete_overlap(jnp.asarray(ours), jnp.asarray(theirs))
    # torchvision has x before y.
    lost = torchvision.ops.complete_box_iou_loss(
        *(torch.from_numpy(each[:, [1, 0, 3, 2]].copy()) for each in (ours, theirs))
    )
    np.testing.assert_allclose(found, 1 - lost.numpy(), atol=2e-6)
