"""The main job as a tour: a real server on loopback, a real project, a scripted editor."""
