"""What the methods train, a file each, and what several of them share."""
