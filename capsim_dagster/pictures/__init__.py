"""The pictures: how each is drawn, and where its numbers come from."""
