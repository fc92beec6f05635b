"""What ``gc`` gives back."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GcReport:
    """What ``gc`` removed, or would remove; the two have the same form."""

    applied: bool
    """Whether it was done."""
    floor: int
    """Below this seq only snapshots can be read, now or after it is done."""
    versions: int = 0
    """Closed versions that go."""
    memories: int = 0
    """Deleted memories of which nothing is left then; they cannot be undeleted any more."""
    contents: int = 0
    """Contents that go with them, each a blob in the attic."""
    size_bytes: int = 0
    """Of these contents."""
    links: int = 0
    """Links that ended."""
    plans: int = 0
    """Rows of the plans of jobs that ended."""
    orphans: int = 0
    """Blobs that the catalog does not know."""
    orphan_bytes: int = 0
    """Of these blobs."""
    kept_versions: int = 0
    """Closed versions from before the floor that stay, because snapshots or unfinished jobs show them."""
    kept_orphans: int = 0
    """Blobs unknown to the catalog that stay: they are younger than the grace, or the storage tells no times."""
    expired: int = 0
    """Live memories that had expired for long and are deleted, if that was asked for; their history begins then."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not any((self.versions, self.contents, self.links, self.plans, self.orphans, self.expired))
