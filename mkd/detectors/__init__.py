"""The detectors that are trained: their names, their mmdet configurations, their costs."""
