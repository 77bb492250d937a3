"""Mathematics without robots: attention with a cache, transformer blocks, masks, finite scalar quantisation."""
