"""Training: data, models, schedules, and the loop that carries them out."""
