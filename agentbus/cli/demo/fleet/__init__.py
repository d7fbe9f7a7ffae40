"""The agents of the demo: a coordinator, workers in processes of their own, and a reporter."""
