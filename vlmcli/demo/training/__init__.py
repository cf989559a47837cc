"""What makes the demo model: questions about drawn scenes, a small LLaVA in PyTorch, its training and its measure.

Nothing of it is imported when `vlm` runs.
"""
