"""Values on another grid."""
