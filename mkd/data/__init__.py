"""Data sets in COCO's layout: the embedded one, and checks for any."""
