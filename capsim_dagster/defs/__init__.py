"""Definitions of your own beside those of capsim: what `dg scaffold defs` writes here is loaded with them."""
