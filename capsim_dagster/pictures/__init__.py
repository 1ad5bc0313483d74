"""The pictures: how each is drawn, and where its numbers come from (`of_disk`, `of_feed`, `of_fleet`)."""
