"""What a trained detector does on the val set: detections, their score, where it looks."""
