"""strhub within other toolkits: the parts that docTR, OnnxTR and docling let one exchange.

Each module is imported by whoever uses that toolkit, and imports it only where it must.
"""
