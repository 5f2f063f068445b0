"""Optical flow on the source frames, and what it takes to use it: estimators, trust, warping."""
