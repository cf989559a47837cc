"""What is known about a model, a machine or one question, as values and pages. Prints nothing itself."""
