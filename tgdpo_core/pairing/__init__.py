"""Preference pairs made of judged answers: which answers are compared, and what becomes of them."""
