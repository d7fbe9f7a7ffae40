"""The control plane over HTTP: the thin shell around `hub.core.control`. Spec section 8."""
