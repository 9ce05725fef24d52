"""Running the study: scale files, the folder of a run, its steps, the graph of steps."""
