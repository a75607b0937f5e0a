"""Datasets, preprocessing on the host, the input pipeline and augmentation on the device."""
