"""Preprocessing of single examples on the host, before batching.

`config.preprocess` names the public functions in these files. Each is a factory that returns an
operation `(example, rng) -> example`, where an example is a dict of features. `decode` turns
encoded bytes into pixels. Operations do not change other features or their argument, and are
picklable. A factory with the argument `kinds` gets the kinds of the features before its operation,
see `library.data.features`. An operation that changes the kind of a feature declares it with
`features.making`.
"""

from library.data.preprocessing._chaining import chain, tokenizer_of, turning
from library.data.preprocessing._examples import CorruptExample, Example, Operation, UnfitExample
from library.data.preprocessing._pictures import MAX_PIXELS
from library.data.preprocessing.colours import colour_weights
from library.data.preprocessing.decoding import decode
from library.data.preprocessing.fitting import standardize, whiten
from library.data.preprocessing.framing import crop_multiple, landscape, mirror
from library.data.preprocessing.geometry import (
    center_crop,
    central_crop,
    inception_crop,
    letterbox,
    pad,
    random_crop,
    random_resize_short,
    resize,
    resize_short,
)
from library.data.preprocessing.gliding import glide
from library.data.preprocessing.graphs import (
    both_directions,
    count_nodes,
    hold_out_edges,
    normalize_nodes,
)
from library.data.preprocessing.labels import (
    drop_difficult,
    keep_classes,
    select,
    to_label,
    to_labels,
    to_target,
)
from library.data.preprocessing.marking import marked_text, sentence_pairs
from library.data.preprocessing.molecules import (
    chemical_accuracy,
    distances,
    molecule_graph,
    molecule_matrices,
)
from library.data.preprocessing.padding import pad_objects, pad_series
from library.data.preprocessing.series import to_series
from library.data.preprocessing.tokenizing import tokenize
from library.data.preprocessing.weighting import border_weights, class_weights

__all__ = [
    "MAX_PIXELS",
    "CorruptExample",
    "Example",
    "Operation",
    "UnfitExample",
    "border_weights",
    "both_directions",
    "center_crop",
    "central_crop",
    "chain",
    "chemical_accuracy",
    "class_weights",
    "colour_weights",
    "count_nodes",
    "crop_multiple",
    "decode",
    "distances",
    "drop_difficult",
    "glide",
    "hold_out_edges",
    "inception_crop",
    "keep_classes",
    "landscape",
    "letterbox",
    "marked_text",
    "mirror",
    "molecule_graph",
    "molecule_matrices",
    "normalize_nodes",
    "pad",
    "pad_objects",
    "pad_series",
    "random_crop",
    "random_resize_short",
    "resize",
    "resize_short",
    "select",
    "sentence_pairs",
    "standardize",
    "to_label",
    "to_labels",
    "to_series",
    "to_target",
    "tokenize",
    "tokenizer_of",
    "turning",
    "whiten",
]
