"""Images made to be misread: small changes of all pixels, or any change of a few."""
