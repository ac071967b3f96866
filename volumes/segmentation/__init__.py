"""Classes of voxels: features, classifiers, fractions with errors, and the objects in a volume."""
