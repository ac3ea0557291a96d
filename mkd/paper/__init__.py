"""What the paper prints and claims, and where paper, recipe and scales differ."""
