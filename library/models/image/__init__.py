"""Networks of images: classifiers, encoders."""
