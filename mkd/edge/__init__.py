"""Detectors on the edge: counted, exported, quantized, checked and timed.

:mod:`mkd.edge.card`, :mod:`mkd.edge.frame`, :mod:`mkd.edge.timing` and :mod:`mkd.edge.run` need
NumPy and onnxruntime only; the rest needs the training environment.
"""
