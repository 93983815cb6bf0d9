"""Everything on one machine: the processes, a demonstration that uses them, and a summary that checks what came out."""
