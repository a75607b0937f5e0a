"""Why a classifier says what it says: maps of an image, pictures of features, other images."""
