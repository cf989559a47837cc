"""Drawn scenes with known contents: what the demo model is trained on, tested on and shown with.

    from random import Random
    from vlmcli.demo import scenes
    scenes.draw(scenes.make(Random(7))).save("scene.png")

This is the door to the modules around it. It says what a scene is (`world`), makes one by chance (`chance`) and draws
it (`drawing`). Pictures that are not of this world (`outside`) are for training and measuring alone.
"""

from vlmcli.demo.chance import make
from vlmcli.demo.drawing import draw
from vlmcli.demo.lettering import FONTS
from vlmcli.demo.world import Scene, Shape, Text

__all__ = ["FONTS", "Scene", "Shape", "Text", "draw", "make"]
