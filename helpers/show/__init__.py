"""Seeing it: tables, figures, charts and interactive views."""
