"""Layers that several models share. Importing any of them installs `canonical_convolution`."""

from library.layers import canonical_convolution as canonical_convolution
