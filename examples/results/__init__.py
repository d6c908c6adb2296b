"""Results of every kind about originals of every kind, and the validators that judge them."""
