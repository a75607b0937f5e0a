"""B-splines: the basis of piecewise polynomials (de Boor 1972, "On calculating with B-splines")."""

from jaxtyping import Array, Float


def spline_basis(
    x: Float[Array, "..."], knots: Float[Array, " n"], degree: int
) -> Float[Array, "... m"]:
    """Returns the values of the m = n - degree - 1 B-splines at x, by the recursion of de Boor.

    A spline of degree 0 is 1 from its knot up to, but without, the next.

    Args:
      x: places.
      knots: increasing knots.
      degree: degree of the polynomials between knots.
    """
    x = x[..., None]
    values = ((x >= knots[:-1]) & (x < knots[1:])).astype(x.dtype)
    for k in range(1, degree + 1):
        left = (x - knots[: -k - 1]) / (knots[k:-1] - knots[: -k - 1]) * values[..., :-1]
        right = (knots[k + 1 :] - x) / (knots[k + 1 :] - knots[1:-k]) * values[..., 1:]
        values = left + right
    return values
