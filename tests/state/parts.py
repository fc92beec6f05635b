"""What a restore of a part should do: which memories are meant, which of them are left alone, which links change."""

from collections.abc import Mapping

from tests.state.model import Model
from tests.state.states import Held, LinkKey

_MEMORY = "kiromi://memory/"


class PartOf:
    """A restore of some memories, by ids or by user, to a moment."""

    def __init__(self, model: Model, seq: int, user: str | None, ids: set[str], is_walled: bool) -> None:
        """``is_walled`` says that the handle sees nothing but the user's."""
        self.ids = ids
        self._model, self._seq, self._user, self._is_walled = model, seq, user, is_walled
        now, then = model.now.memories, model.states[seq].memories
        self.left: set[str | None] = set()
        self.ready: dict[str, Held | None] = {}
        """What is to be done: what each memory becomes."""
        for memory_id in sorted(now.keys() | then.keys()):
            sides = [held for held in (now.get(memory_id), then.get(memory_id)) if held is not None]
            is_same = len(sides) == 2 and not sides[0].differing(sides[1]) and sides[0].content == sides[1].content
            if is_same or not self._means(memory_id, sides):
                continue
            if is_walled and any(held.fields.user != user for held in sides):
                self.left.add(memory_id)
            else:
                self.ready[memory_id] = then.get(memory_id)
        self.links = self._links()
        self.is_nothing = not self.ready and self.links == model.now.links
        self._leave_loops()
        self._leave_keys()

    def _means(self, memory_id: str, sides: list[Held]) -> bool:
        if self._user is None:
            return memory_id in self.ids
        return any(held.fields.user == self._user for held in sides)

    def _leave(self, memory_id: str) -> None:
        self.left.add(memory_id)
        del self.ready[memory_id]

    def _leave_loops(self) -> None:
        """Leave what would have been superseded by a memory that it replaced since."""
        model = self._model
        winners = {i: then.superseded for i, then in self.ready.items() if then is not None}
        for memory_id, then in list(self.ready.items()):
            last = self._last(memory_id)
            if then is None or then.superseded is None or (last.superseded or ("",))[0] == then.superseded[0]:
                continue
            passed: set[str] = set()
            following: str | None = then.superseded[0]
            while following in model.ids and following not in passed and following != memory_id:
                passed.add(following)
                by = winners[following] if following in winners else self._last(following).superseded
                following = None if by is None else by[0]
            if following == memory_id:
                self._leave(memory_id)

    def _leave_keys(self) -> None:
        """Leave what had a key that another memory has and keeps."""
        now = self._model.now

        def is_taken(memory_id: str, key: str | None) -> bool:
            holder = now.holder(key)
            if key is None or holder in (None, memory_id):
                return False
            then = self.ready.get(holder, now.memories[holder])
            return then is not None and then.fields.key == key

        while taken := [i for i, then in self.ready.items() if then is not None and is_taken(i, then.fields.key)]:
            for memory_id in taken:
                self._leave(memory_id)

    def _last(self, memory_id: str) -> Held:
        return self._model.now.memories.get(memory_id) or self._model.last(memory_id)

    # -- links ---------------------------------------------------------------------------------------------------------

    def _links(self) -> Mapping[LinkKey, tuple[float, int]]:
        now, then = self._model.now.links, self._model.states[self._seq].links
        found = dict(now)
        for key in now.keys() | then.keys():
            weight = then.get(key, (None,))[0]
            if now.get(key, (None,))[0] == weight or not self._means_link(key, key in then, key in now):
                continue
            found.pop(key, None)
            if weight is not None:
                found[key] = (weight, -1)
        return found

    def _means_link(self, key: LinkKey, was_there: bool, is_there: bool) -> bool:
        if self._user is None:
            return not self.ids.isdisjoint(end.removeprefix(_MEMORY) for end in key[:2])
        seen = [
            self._is_within(key, seq) for seq, held in ((self._seq, was_there), (self._model.seq, is_there)) if held
        ]
        return all(seen) if self._is_walled else any(seen)

    def _is_within(self, key: LinkKey, seq: int) -> bool:
        """Tell whether all memories at the ends of a link lay within at a moment; deleted ones where they last were."""
        for end in key[:2]:
            if end.startswith(_MEMORY):
                history = self._model.history(end.removeprefix(_MEMORY), seq)
                if not history or history[0][0].fields.user != self._user:
                    return False
        return True
