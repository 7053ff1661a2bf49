"""The REST service accepts songs and answers questions about them."""
