"""The core with its laws that can be broken, as tests/core builds it."""

from tests.core.conftest import checked

__all__ = ["checked"]
