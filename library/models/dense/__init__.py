"""Networks that say something of every pixel, or of objects in an image."""
