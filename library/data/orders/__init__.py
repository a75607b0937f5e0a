"""Orders of training examples: the row of the source at each position of a run.

`config.dataset.order` names one of these files. The function of the same name returns an order
`(positions, batch_size, num_examples) -> rows`, where positions and rows are int64 `(n,)`. An order
depends only on the seed and the position, so any process can compute any position, and seeking is
arithmetic. The function gets `seed`, `repeats`, `labels`, a function that returns the labels
`(num_examples,)` of the source, and `lengths`, a function from a feature to its number of steps in
each example, if it takes them.
"""

from library.data.orders.balanced import balanced
from library.data.orders.bucketed import bucketed
from library.data.orders.episodes import episodes
from library.data.orders.sequence import sequence
from library.data.orders.shuffle import shuffle
from library.data.orders.streams import streams

__all__ = ["balanced", "bucketed", "episodes", "sequence", "shuffle", "streams"]
