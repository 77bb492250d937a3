"""Whether our models and readers compute what the reference implementation computed, array by array."""

from amplify.reference.parity.folder import check_folder

__all__ = ["check_folder"]
