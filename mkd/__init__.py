"""MKD Bench: does multi-knowledge distillation for real-time detectors hold up?"""

from pathlib import Path

__version__ = "0.1.0"
ROOT = Path(__file__).resolve().parent.parent
"""The checkout's folder."""
