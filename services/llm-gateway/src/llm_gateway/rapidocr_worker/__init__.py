"""rapidocr in a process of its own: its models' memory and its threads stay out of the service."""
