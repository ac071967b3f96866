"""What each technique sees and which go together; the table, and how a technique is found in it."""

from fusion.techniques.catalogue import Quantity as Quantity
from fusion.techniques.catalogue import Reference as Reference
from fusion.techniques.catalogue import Technique as Technique
from fusion.techniques.catalogue import find as find
from fusion.techniques.catalogue import one as one
from fusion.techniques.catalogue import references as references
from fusion.techniques.catalogue import table as table
