"""What colour cameras and depth sensors make of ideal pictures."""
