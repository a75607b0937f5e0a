"""Adversarial examples: images with a small change of all pixels, or with a patch."""
