"""Tables of papers made again: rows and seeds as data, one harness for all."""
