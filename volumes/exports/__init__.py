"""Images and volumes as files of other programs: ParaView, viewers of OME-Zarr, ImageJ."""
