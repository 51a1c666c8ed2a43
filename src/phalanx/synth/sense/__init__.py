"""What cameras and depth sensors make of what is there."""
