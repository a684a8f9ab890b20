"""Networks that judge images and are not trained."""
