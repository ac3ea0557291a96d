"""MKD Bench: does multi-knowledge distillation for real-time detectors hold up?"""

__version__ = "0.1.0"
