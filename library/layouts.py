"""Layouts of features in the plane: principal components and t-SNE."""

import numpy as np
from jaxtyping import Float
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from library.config import ConfigError


def principal_components(
    features: Float[np.ndarray, "n d"], dimensions: int = 2
) -> Float[np.ndarray, "n k"]:
    """Projects centred features on the directions in which they vary most.

    Raises:
      ConfigError: there are fewer examples or features than dimensions.
    """
    if not 1 <= dimensions <= min(features.shape):
        n, d = features.shape
        raise ConfigError(
            f"dimensions={dimensions} of {n} examples with {d} features each: valid are 1 to "
            f"{min(n, d)}"
        )
    return PCA(dimensions, svd_solver="full").fit_transform(np.float64(features))


def t_sne(
    features: Float[np.ndarray, "n d"],
    dimensions: int = 2,
    *,
    perplexity: float = 30.0,
    steps: int = 1000,
    seed: int = 0,
) -> Float[np.ndarray, "n k"]:
    """Returns a t-SNE layout of features, in which near features stay near.

    Van der Maaten & Hinton 2008, "Visualizing data using t-SNE" (JMLR 9), with the approximation of
    van der Maaten 2014 (JMLR 15), of the first 50 principal components, as in the experiments of
    the first paper (section 4.1).

    Args:
      features: features of the examples.
      dimensions: 1, 2 or 3.
      perplexity: roughly the number of neighbours that count as near.
      steps: number of steps of the optimization, 250 or more.
      seed: seed of the optimization, which starts at the principal components.

    Raises:
      ConfigError: the perplexity is not positive and below the number of examples, or dimensions or
        steps are out of range.
    """
    if dimensions not in (1, 2, 3):
        raise ConfigError(f"dimensions={dimensions}: valid are 1, 2 and 3")
    if steps < 250:
        raise ConfigError(f"steps={steps}: valid are 250 or more")
    if not 0 < perplexity < len(features):
        raise ConfigError(
            f"perplexity={perplexity}: valid are above 0 and below {len(features)}, the examples"
        )
    reduced = principal_components(features, min(50, *features.shape))
    made = TSNE(dimensions, perplexity=perplexity, init="pca", max_iter=steps, random_state=seed)
    # With one thread the same seed gives the same layout; several threads also wait on each other.
    with threadpool_limits(limits=1):
        return made.fit_transform(np.float32(reduced)).astype(np.float64)
