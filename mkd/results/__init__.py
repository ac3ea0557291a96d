"""Records of what was run, and what is computed from them."""
