"""Sound: spectra and cepstra of recordings, and reading of sound files."""
