"""What makes it fast and safe: attention, packing, compiling, optimiser, files, progress."""
