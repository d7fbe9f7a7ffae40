"""The dashboard at `/`: what an app's operators see of it in a browser, and the little that they do there."""
