"""Denoising gap and its onset: small networks trained for long."""
