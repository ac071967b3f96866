"""What each technique sees and which go together; the table, and how a technique is found in it."""

from fusion.techniques.catalogue import Quantity, Reference, Technique, find, one, references, table

__all__ = ["Quantity", "Reference", "Technique", "find", "one", "references", "table"]
