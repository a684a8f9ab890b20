"""Networks that compare images and are not trained."""
