"""Published weights of other projects: files, and the names of their params here."""
