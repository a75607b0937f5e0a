"""Tracking: which detections of the frames of a video are of one object, over any detector."""
