"""Files of a run for its report, beside the log: samples, arrays and example predictions."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from library import files, rng, task
from library.data import on_device
from library.reporting import mosaic
from library.run.feed import Feed
from library.run.plan import Plan
from library.run.sections import evaluator
from library.task import TrainState

_LOOKED_AT = 4096
_SHOWN = 24
CAPTIONS = "_captions"


def write(
    plan: Plan,
    feed: Feed,
    state: TrainState,
    arrays: Mapping[str, np.ndarray],
    workdir: Path,
    warn: Callable[[str], None],
) -> None:
    """Writes evaluation.npz, predictions.npz and augmented.npz, those that the task supports.

    If a file cannot be computed, it is left out with a warning.

    Args:
      plan: the run.
      feed: the run's data.
      state: the final state; predictions use its running averages if it has any.
      arrays: the results of the evaluators that are arrays, by name.
      workdir: the folder of the files.
      warn: shows a line to the user.

    Raises:
      OSError: a file cannot be written.
    """
    found: dict[str, Callable[[], Mapping[str, np.ndarray]]] = {"evaluation": lambda: arrays}
    if plan.recipe.evaluate and "probabilities" in plan.task.outputs:
        splits = [
            evaluator(k, v).spec.get("split", "test") for k, v in plan.recipe.evaluate.items()
        ]
        split = "test" if "test" in splits else splits[0]
        found["predictions"] = lambda: predictions(plan, feed, task.learnt(state), split)
    if plan.recipe.augment and plan.loader.blank.get("image", np.zeros(0)).ndim == 3:
        found["augmented"] = lambda: augmented(plan, feed)
    for name, make in found.items():
        with _warn_on_error(f"{name}.npz is not written", warn):
            values = make()
            if values and jax.process_index() == 0:
                _save(workdir / f"{name}.npz", values)


def keep_samples(
    arrays: Mapping[str, np.ndarray], step: int, workdir: Path, warn: Callable[[str], None]
) -> dict[str, np.ndarray]:
    """Writes images and texts to samples/NAME/STEP.npz, and to .png or .txt.

    Strings named NAME_captions are the captions of the images NAME, one each, and go to their file.
    If NAME is another array, they stay beside it. If an image cannot be drawn, its .png is left out
    with a warning.

    Returns:
      The arrays that are neither images nor text, with their captions.

    Raises:
      OSError: a file cannot be written.
    """
    others = {}
    for name, values in arrays.items():
        pictures = _is_pictures(values)
        captioned = arrays.get(name.removesuffix(CAPTIONS)) if name.endswith(CAPTIONS) else None
        if captioned is not None:
            others |= {} if _is_pictures(captioned) else {name: values}
            continue
        if not pictures and values.dtype.kind != "U":
            others[name] = values
        elif jax.process_index() == 0:
            folder = workdir / "samples" / name.replace("/", "_")
            folder.mkdir(parents=True, exist_ok=True)
            captions = arrays.get(name + CAPTIONS)
            beside = {} if captions is None else {"captions": captions}
            _save(folder / f"{step:08d}.npz", {"values": values, **beside})
            if pictures:
                with _warn_on_error(f"samples of {name} at step {step} are not drawn", warn):
                    mosaic.save(values, folder / f"{step:08d}.png")
            else:
                text = "\n\n".join(map(str, values)) + "\n"
                files.write(folder / f"{step:08d}.txt", text)
    return others


def _is_pictures(values: np.ndarray) -> bool:
    return values.dtype == np.uint8 and values.ndim in (4, 5)


def drawn_samples(names: Iterable[str], step: int, workdir: Path) -> dict[str, Path]:
    """Returns the .png or .txt file of each sample that `keep_samples` wrote at a step, by name."""
    folder = workdir / "samples"
    paths = {
        name: folder / name.replace("/", "_") / f"{step:08d}{suffix}"
        for name in names
        for suffix in (".png", ".txt")
        if (folder / name.replace("/", "_") / f"{step:08d}{suffix}").is_file()
    }
    return paths


def predictions(plan: Plan, feed: Feed, state: TrainState, split: str) -> dict[str, np.ndarray]:
    """Returns example predictions on a split: up to 24 correct and up to 24 wrong ones."""
    context = feed.context()

    def predict(state, batch, key):
        probabilities = plan.task.outputs["probabilities"](state, batch, key)
        return {
            "probabilities": probabilities,
            **{k: batch[k] for k in ("label", "row", "mask")},
        }

    collect, seen, count = context.collect(predict), [], 0
    for batch in context.batches(split, None):
        seen.append(collect(state, batch))
        count += int(seen[-1]["mask"].sum())
        if count >= _LOOKED_AT:
            break
    table = {k: np.concatenate([part[k] for part in seen]) for k in seen[0]}
    if table["label"].ndim > 1 or "image" not in plan.loader.blank:
        return {}
    real = table["mask"] > 0
    right = table["probabilities"].argmax(-1) == table["label"]
    chosen = np.concatenate([np.flatnonzero(real & r)[:_SHOWN] for r in (right, ~right)])
    loader = feed.loader(split)
    images = [_still(loader.load(0, int(row))["image"]) for row in table["row"][chosen]]
    names = plan.label_names or [str(i) for i in range(table["probabilities"].shape[-1])]
    return {
        "image": np.stack(images),
        **{k: table[k][chosen] for k in ("label", "probabilities", "row")},
        "label_names": np.array(names),
    }


def _still(image: np.ndarray) -> np.ndarray:
    """Returns an image (h, w, c) as it is, and of a clip (t, h, w, c) the frame in the middle."""
    return image[len(image) // 2] if image.ndim == 4 else image


def augmented(plan: Plan, feed: Feed, num_images: int = 6, num_views: int = 7) -> dict[str, Any]:
    """Returns images with their augmented views, `(n, 1 + views, h, w, c)` uint8."""
    batch = feed.beginning(num_images)
    key = rng.root(plan.recipe.seed)
    augment = jax.jit(
        lambda batch, key: plan.augment(on_device.to_float(batch, plan.loader.kinds), key)["image"]
    )
    keys = [rng.purpose(rng.at_step(key, view), "augment") for view in range(num_views)]
    views = [on_device.pixels(None, augment(batch, key)) for key in keys]
    # Augmentation may change an image's size.
    shape = views[0].shape
    original = jax.image.resize(batch["image"] / np.float32(255), shape, "linear")
    return {"image": np.stack([on_device.pixels(None, original), *views], axis=1)}


@contextlib.contextmanager
def _warn_on_error(what: str, warn: Callable[[str], None]) -> Iterator[None]:
    # A failed picture must not end the run. A failed disk must, so that the user starts it again.
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        warn(f"{what}: {type(error).__name__}: {error}")


def _save(path: Path, values: Mapping[str, np.ndarray]) -> None:
    with files.replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **values)
