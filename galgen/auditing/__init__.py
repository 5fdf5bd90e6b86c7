"""Anyone's generator, audited: are its samples copies, and are they right?"""
