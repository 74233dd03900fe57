"""Which rows served, which labels were known when, what is mature, which stretch may be trained or judged on.

The stages ask; this room alone knows where published rows lie and how a label finds its prediction.
"""
