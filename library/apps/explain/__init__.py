"""Explanations of a classifier's predictions: maps of an image, features, and other images."""
