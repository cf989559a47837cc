"""Pictures that are not of the model's world."""

from random import Random

import numpy as np
import pytest

from vlmcli.demo import outside


@pytest.mark.parametrize("family", outside.FAMILIES + outside.UNSEEN_FAMILIES)
def test_pictures_outside_the_world_come_in_any_size(family):
    for size in ((64, 64), (300, 100), (640, 480), (90, 260)):
        picture = outside.picture(Random(f"{family} {size}"), family, size)
        assert picture.size == size
        assert picture.mode == "RGB"
        assert np.asarray(picture).std() > 3
