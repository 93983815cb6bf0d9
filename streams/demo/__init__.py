"""`cm-streams up`: all processes on one machine, and a demonstration that plays a story and checks how it ends."""
