"""Preprocessing of one example on the host, before it joins a batch.

Each public function of these files is a factory, named in `config.preprocess`, that returns an
operation `(example, rng) -> example`: an example is a dict of features, of which `decode` turns
encoded bytes into pixels. Operations leave other features alone, do not change their argument, and
can be pickled. A factory that takes `kinds` is given the kinds of the features that come before it,
see `library.data.features`; an operation that makes a feature of another kind says so with
`features.making`.
"""

from library.data.preprocessing._chaining import chain, turning
from library.data.preprocessing._examples import CorruptExample, Example, Operation, UnfitExample
from library.data.preprocessing._pictures import MAX_PIXELS
from library.data.preprocessing.decoding import decode
from library.data.preprocessing.fitting import standardize, whiten
from library.data.preprocessing.geometry import (
    center_crop,
    central_crop,
    inception_crop,
    pad,
    random_crop,
    random_resize_short,
    resize,
    resize_short,
)
from library.data.preprocessing.labels import select, to_label, to_labels, to_target
from library.data.preprocessing.padding import pad_objects, pad_series

__all__ = [
    "MAX_PIXELS",
    "CorruptExample",
    "Example",
    "Operation",
    "UnfitExample",
    "center_crop",
    "central_crop",
    "chain",
    "decode",
    "inception_crop",
    "pad",
    "pad_objects",
    "pad_series",
    "random_crop",
    "random_resize_short",
    "resize",
    "resize_short",
    "select",
    "standardize",
    "to_label",
    "to_labels",
    "to_target",
    "turning",
    "whiten",
]
