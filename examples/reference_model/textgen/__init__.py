"""Writes the training text of the reference model: many task families in many styles, from a seed.

A document holds several items of one kind in one style, so that reading the first items helps with the later ones;
that is what makes demonstrations matter to the trained model.
"""
