"""The built-in model's workshop: scenes, questions, training, evaluation.

The data is composed on the fly from a seed and a step number, so nothing is stored and every run can be repeated.
"""
