"""What several models share; `canonical_convolution` is in force once any of it is imported."""

from library.layers import canonical_convolution as canonical_convolution
