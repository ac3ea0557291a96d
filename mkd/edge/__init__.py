"""Detectors on the edge: counted, exported, quantized, checked and timed.

:mod:`mkd.edge.metadata`, :mod:`mkd.edge.preprocessing`, :mod:`mkd.edge.timing` and
:mod:`mkd.edge.measure` need NumPy and onnxruntime only; the rest needs the training environment.
"""
