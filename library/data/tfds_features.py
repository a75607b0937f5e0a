"""Features of TFDS datasets: their names in a batch, their kinds, and the names of their classes.

TFDS nests features and lets each dataset name them. A batch is flat, and its image is `image` and
its class `label`.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow_datasets as tfds

from library.config import ConfigError
from library.data import features

# Features whose strings name an example. They serve messages only, because strings cannot be
# batched.
NAMES_OF_EXAMPLES = ("id", "file_name", "filename", "image/filename")
# LabeledImage comes before its base class Image.
_KINDS_OF_TYPES = (
    (tfds.features.LabeledImage, "map"),
    (tfds.features.Image, "image"),
    (tfds.features.ClassLabel, "label"),
    (tfds.features.Audio, "audio"),
    (tfds.features.Text, "text"),
)


def kinds_in_batch(builder: Any, name: str) -> dict[str, str]:
    """Returns the kinds of a dataset's features, by their names in a batch.

    TFDS's types imply most kinds; a builder of this project states the others in `KINDS`.

    Raises:
      ConfigError: the examples are no dictionaries, a kind is unknown, or a name is reserved for
        batches.
    """
    description = builder.info
    if not isinstance(description.features, tfds.features.FeaturesDict):
        raise ConfigError(
            f"{name}: the examples must be dictionaries of features, got {description.features}"
        )
    renamed, found = names_in_batch(description), {}
    for key, feature in _flat_features(description.features).items():
        kind = "id" if key in NAMES_OF_EXAMPLES else _kind(feature)
        found |= {renamed.get(key, key): kind} if kind else {}
    names = (renamed.get(key, key) for key in _flat_features(description.features))
    stated = {**found, **getattr(builder, "KINDS", {})}
    return features.check(features.of(dict.fromkeys([*names, *stated]), stated), name)


def _kind(feature: Any) -> str | None:
    """Returns the kind that the TFDS type of a feature implies, or None if it implies none."""
    for types, kind in _KINDS_OF_TYPES:
        if isinstance(feature, types):
            return kind
    inner = getattr(feature, "feature", None)
    return "boxes" if isinstance(inner, tfds.features.BBoxFeature) else None


def flat(example: Mapping[str, Any]) -> dict[str, Any]:
    """Flattens nested features: {"objects": {"label": x}} becomes {"objects/label": x}."""
    flat = {}
    for key, value in example.items():
        inner = value.items() if isinstance(value, Mapping) else ()
        flat |= {f"{key}/{name}": x for name, x in inner} or {key: value}
    return flat


def _flat_features(described: Mapping[str, Any]) -> dict[str, Any]:
    flat = {}
    for key, feature in described.items():
        inner = getattr(feature, "feature", feature)
        if isinstance(inner, tfds.features.FeaturesDict):
            flat |= {f"{key}/{name}": x for name, x in inner.items()}
        else:
            flat[key] = feature
    return flat


def names_in_batch(description: tfds.core.DatasetInfo) -> dict[str, str]:
    """Returns the names in a batch by the names in TFDS, for features whose names change.

    The only image is renamed to `image` and the only class label to `label`; of several, the
    supervised key of TFDS is. The boxes and classes nested in "objects" become `boxes` and
    `boxes_label`; nested features without boxes become `outer_inner`.
    """
    described, renamed = description.features, {}
    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    supervised = dict(zip(kinds, description.supervised_keys or ()))
    for standard, kind in kinds.items():
        if standard in described:
            continue
        candidates = [key for key, feature in described.items() if isinstance(feature, kind)]
        if supervised.get(standard) in candidates:
            renamed[supervised[standard]] = standard
        elif len(candidates) == 1:
            renamed[candidates[0]] = standard
    for path, feature in _flat_features(described).items():
        outer, _, inner = path.partition("/")
        if inner and isinstance(feature, tfds.features.BBoxFeature):
            renamed[path] = "boxes"
        elif inner:
            renamed[path] = (
                f"boxes_{inner}" if _holds_boxes(described[outer]) else f"{outer}_{inner}"
            )
    return renamed


def _holds_boxes(feature: Any) -> bool:
    inner = getattr(feature, "feature", feature)
    return any(isinstance(each, tfds.features.BBoxFeature) for each in inner.values())


def find(description: tfds.core.DatasetInfo, key: str) -> Any:
    """Returns the TFDS feature that a batch names `key`, or None."""
    original = {new: old for old, new in names_in_batch(description).items()}
    return _flat_features(description.features).get(original.get(key, key))


def label_names(builder: Any) -> tuple[str, ...] | None:
    """Returns the class names of labels or boxes, else the builder's `LABEL_NAMES`, else None."""
    for key in ("label", "boxes_label"):
        feature = find(builder.info, key)
        feature = getattr(feature, "feature", feature)
        if isinstance(feature, tfds.features.ClassLabel) and feature.num_classes:
            return tuple(feature.names)
    return tuple(getattr(builder, "LABEL_NAMES", ())) or None
