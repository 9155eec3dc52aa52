"""Adapter training: options that describe it, and transformers' Trainer set up to do it. Shared by lora and qlora."""
