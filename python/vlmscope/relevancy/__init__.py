"""Relevancy of captured models by autograd; docs/relevancy.md has the definition.

The answer is known, so that one forward pass over prompt and answer gives all scores, and one backward pass all gradients: rows
of the prompt get the gradient of the first token's score, each later row that of its own token's, because keys and values of
other positions are cut off from answer rows. The backward pass visits layers from the last to the first, which is the order of
the row recursion r ← r + r Ā_l, so that no layer's matrix is kept. Layers are computed again on the way back (checkpoints), so that
the activations of one layer are in memory at a time.
"""

from .llm import add_relevancy, check_kinds

__all__ = ["add_relevancy", "check_kinds"]
