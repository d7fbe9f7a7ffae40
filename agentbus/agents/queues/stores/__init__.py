"""Where queues keep their jobs: an interface, and one module per store."""
