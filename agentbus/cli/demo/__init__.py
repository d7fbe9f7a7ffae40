"""The main job: a supervised fleet of processes digests a folder, and loses nothing on the way."""
