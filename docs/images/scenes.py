"""Draw scene.png and demo-scenes.jpg, the pictures of the documentation, with the demo model's own drawing."""

from pathlib import Path
from random import Random

from PIL import Image

from vlmcli.demo import outside, scenes
from vlmcli.demo.scenes import Scene, Shape

HERE = Path(__file__).parent
SIDE, GAP, COLUMNS = 128, 6, 8


def main() -> None:
    """Draw both pictures and write them beside this script."""
    circle = Shape("circle", "red", (255, 0, 0), 30.0, 46.0, 19.5)
    square = Shape("square", "blue", (0, 0, 255), 96.0, 48.0, 19.5)
    scenes.draw(Scene(640, 480, "white", (255, 255, 255), (circle, square))).save(HERE / "scene.png")
    rng = Random("documentation")
    inside = [scenes.draw(scenes.make(rng)) for _ in range(3 * COLUMNS)]
    families = (*outside.FAMILIES, *outside.UNSEEN_FAMILIES)
    others = [outside.picture(rng, family) for family in families]
    pictures = [*inside, *others[: 2 * COLUMNS]]
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (SIDE + GAP) + GAP, rows * (SIDE + GAP) + GAP), "#e8e8e8")
    for number, picture in enumerate(pictures):
        picture.thumbnail((SIDE, SIDE))
        left, top = (GAP + (number % COLUMNS) * (SIDE + GAP), GAP + (number // COLUMNS) * (SIDE + GAP))
        sheet.paste(picture, (left + (SIDE - picture.width) // 2, top + (SIDE - picture.height) // 2))
    sheet.save(HERE / "demo-scenes.jpg", quality=88)


if __name__ == "__main__":
    main()
