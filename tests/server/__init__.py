"""`vlm serve`, as other programs meet it: official clients, recorded bodies, and what is wrong."""
