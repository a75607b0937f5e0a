"""What is trained and measured on a mesh, in this process or spread over several.

    python -m tests.parallel.on_meshes '[[SYSTEM, PARALLEL, ORDER], ...]' FOLDER

does so as one of the processes that its environment names, and writes FOLDER/PLACE.json.
"""

import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from library.parallel import processes
from library.run import evaluating, stepping
from library.run.feed import Feed
from library.run.recipe import make_plan
from library.summaries import summarize
from tests import families, tiny

CALLS = (2, 4)
_EVALUATED = dict(test=dict(kind="metrics", split="test", batch_size=8, every="4 steps"))
# In the first two the host crops each example as its position in the run says.
SYSTEMS: dict[str, dict[str, Any]] = {
    "streamed": dict(
        preprocess=[dict(name="random_crop", size=4)],
        model=dict(name="mlp.mlp", hidden=(8,), dropout=0.1),
    ),
    "attention": dict(
        preprocess=[dict(name="inception_crop", size=8)],
        model={**tiny.VIT, "num_heads": 4},
        augment=[dict(name="flip_lr")],
    ),
    "resident": dict(
        dataset=dict(cache="device"), model={**tiny.CONV, "norm": "batch"}, steps_per_call=2
    ),
    # A map is cropped with its image.
    "scenes": dict(
        dataset=families.SCENES,
        preprocess=[
            dict(name="select", keys=["image", "map"]),
            dict(name="random_crop", size=6),
        ],
        model=dict(name="unet", widths=(4, 8), dropout=0.0),
        task=dict(name="segmentation"),
        augment=[dict(name="flip_lr"), dict(name="quarter_turns")],
    ),
    # As in the recipe for bccd: host and device move several boxes an image, padded to three.
    "boxes": dict(
        dataset=families.SCENES,
        preprocess=[
            dict(name="select", keys=["image", "boxes", "boxes_label"]),
            dict(name="random_crop", size=6),
            dict(name="pad_objects", num=3),
        ],
        model=dict(name="grid_detector", widths=(4, 4)),
        # Few steps make no model sure: without this there is no detection to count.
        task=dict(name="detection", confidence=0.1),
        augment=[
            dict(name="flip_lr"),
            dict(name="flip_ud"),
            dict(name="affine", translate=0.1, scale=(0.9, 1.1)),
        ],
    ),
    "domains": {k: v for k, v in families.FAMILIES["domains"].items() if k != "evaluate"},
    "streams": dict(
        dataset={**families.TEXT, "order": "streams", "cache": "none"},
        model=dict(name="recurrent.gru", width=8, depth=1),
        task=dict(name="language"),
    ),
}


def seen(
    system: str, parallel: dict[str, Any], devices: Sequence[jax.Device]
) -> dict[str, list[Any]]:
    """Returns the losses of the steps after each call, what is evaluated, and which examples were.

    All of it is of the whole batch, and so the same on all processes.
    """
    with pytest.MonkeyPatch.context() as patch:
        families.serve(patch)
        changes = {"optimizer": families.SGD, "evaluate": _EVALUATED, **SYSTEMS[system]}
        plan = make_plan(tiny.config(**changes, parallel=parallel), devices=list(devices))
        feed = Feed(plan)
        carry, losses = _trained(plan, feed)
        evaluation = evaluating.evaluations(plan, feed)["test"]
        found = evaluating.measured("test", evaluation, carry.state)
        return {
            "losses": losses,
            "evaluated": [np.asarray(found[name]).tolist() for name in sorted(found)],
            "examples": _examples(feed, carry.state),
            "first": jax.device_get(feed.first)["row"].tolist(),
        }


def _trained(plan, feed):
    several = plan.recipe.steps_per_call > 1
    carry = stepping.initial_carry(plan, feed)
    zeros, losses = jax.device_get(carry.totals), []
    run = functools.partial(stepping.steps if several else stepping.step, plan)
    update = plan.strategy.update(run, carry)
    batches = feed.train(0, CALLS if several else None)
    for _ in CALLS if several else range(CALLS[-1]):
        carry, _ = update(carry, next(batches), feed.constants)
        losses.append(float(summarize(jax.device_get(carry.totals))["loss"]))
        carry = carry._replace(totals=plan.strategy.replicate(zeros))
    return carry, losses


def _examples(feed, state):
    context = feed.context()
    places = context.collect(lambda state, batch, key: {k: batch[k] for k in ("row", "mask")})
    batches = (*context.batches("test", 8), *context.draws(10, 8))
    collected = [places(state, batch) for batch in batches]
    return [np.concatenate([each[k] for each in collected]).tolist() for k in ("row", "mask")]


def main() -> None:
    """Joins the other processes and goes through what the command line asks for."""
    asked, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
    processes.connect()
    found = []
    for system, parallel, order in asked:
        devices = jax.devices()
        found.append(seen(system, parallel, [devices[i] for i in order or range(len(devices))]))
    (folder / f"{jax.process_index()}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
