"""How far do models agree, between networks of other images and twins of the same?"""
