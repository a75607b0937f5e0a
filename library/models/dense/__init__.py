"""Networks that predict for every pixel, or for the objects in an image."""
