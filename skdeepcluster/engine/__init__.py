"""Training: a table of rows, a schedule of phases, and the loop that carries it out."""
