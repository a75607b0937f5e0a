"""Networks made smaller: kernels with holes, kernels as products of smaller ones, whole numbers."""
