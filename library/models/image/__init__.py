"""Networks for images: classifiers and encoders."""
