"""Detection of objects: boxes, suppression, and the assignments and losses of YOLO."""
