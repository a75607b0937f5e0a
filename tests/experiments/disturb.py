"""Runs a program in a world that misbehaves: python disturb.py WHAT PROGRAM ARGUMENTS..."""

import importlib.util
import itertools
import runpy
import sys
import time


def clock() -> None:
    """The wall clock jumps a day ahead, and back again, and again."""
    real, calls = time.time, itertools.count()
    time.time = lambda: real() + 86_400 * (next(calls) // 50 % 2)


def slow_source() -> None:
    """Some examples come a second late."""
    _patch_load(lambda position: time.sleep(1.0) if position % 100 == 0 else None)


def failing_source() -> None:
    """The source fails in the middle."""

    def fail(position):
        if position == 333:
            raise OSError(5, "Input/output error")

    _patch_load(fail)


def nan_in_batch() -> None:
    """The pixels of the example at position 333 are none."""
    import jax.numpy as jnp

    def broken(batch):
        here = (batch["index"] == 333)[:, None, None, None]
        return {**batch, "image": jnp.where(here, jnp.nan, batch["image"])}

    _patch_loss(change=broken)


def nan_in_loss() -> None:
    """The loss of the example at position 333 is no number."""
    import jax.numpy as jnp

    _patch_loss(lambda here, weight: jnp.where(here, jnp.nan, 0.0))


def nan_in_gradient() -> None:
    """The loss of the example at position 333 is a number, and its gradient is none."""
    import jax.numpy as jnp

    _patch_loss(lambda here, weight: jnp.sqrt(jnp.where(here, 0 * weight, 1.0)) - ~here)


def _patch_load(before) -> None:
    from library.data.pipeline import Loader

    load = Loader.load

    def patched(self, position, row):
        before(position)
        return load(self, position, row)

    Loader.load = patched


def _patch_loss(extra=lambda here, weight: 0 * here, change=lambda batch: batch) -> None:
    """Changes each batch and adds `extra(is it at position 333, weight)` to each loss."""
    import jax

    from library import task

    minimize = task.minimize

    def patched(loss, *arguments, **options):
        def with_extra(params, variables, batch, key):
            metrics, variables = loss(params, variables, change(batch), key)
            total, count = metrics["loss"]
            weight = jax.tree.leaves(params)[0].ravel()[0]
            total += extra(batch["index"] == 333, weight).sum()
            return {**metrics, "loss": (total, count)}, variables

        return minimize(with_extra, *arguments, **options)

    task.minimize = patched


WORLDS = {
    f.__name__: f
    for f in (clock, slow_source, failing_source, nan_in_batch, nan_in_loss, nan_in_gradient)
}

if __name__ == "__main__":
    what, program = sys.argv[1:3]
    WORLDS[what]()
    sys.argv = [importlib.util.find_spec(program).origin, *sys.argv[3:]]
    runpy.run_module(program, run_name="__main__")
