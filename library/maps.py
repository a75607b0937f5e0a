"""Maps: an integer per pixel of an image, such as its class."""

# The value of a pixel without a class. Geometry gives it to pixels outside the image, and tasks do
# not count it.
UNKNOWN = 255
