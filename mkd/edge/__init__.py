"""Detectors on the edge: counted, exported, quantized, checked and timed.

What ``mkd latency`` runs needs NumPy and an engine only (:mod:`mkd.edge.measure`,
:mod:`mkd.edge.paired`, :mod:`mkd.edge.engines`); the rest needs the training environment.
"""
