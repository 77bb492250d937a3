import weakref

from amplify.sim.memory import give_back


class Scene:
    def __init__(self):
        self.itself = self


def test_scenes_that_nobody_uses_are_gone():
    scene = Scene()
    known = weakref.ref(scene)
    del scene
    give_back()
    assert known() is None
