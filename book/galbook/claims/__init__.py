"""The paper's claims, each judged by what a run found."""
