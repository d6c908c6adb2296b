"""What is kept of an answer is all that it takes to read it again."""

import numpy as np

from ai import cache


def test_an_answer_that_is_kept_still_knows_its_requests():
    """Items are numbered within a request: where each began is kept with the arrays."""
    arrays = {"boxes": np.ones((3, 6), np.float32), "words": np.array([b"x"], dtype=np.object_)}
    kept = cache.Cache(10_000)
    kept.put("key", cache.with_rows(arrays, {"boxes": (2, 1), "words": (1,)}))
    found, rows = cache.without_rows(kept.get("key"))
    assert set(found) == {"boxes", "words"}
    assert np.array_equal(found["boxes"], arrays["boxes"])
    assert rows == {"boxes": (2, 1), "words": (1,)}
