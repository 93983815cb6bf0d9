"""`cm-streams`: what people and supervisors run. Each group of commands is a file; `__main__` lists them."""
