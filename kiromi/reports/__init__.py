"""What operations that change or look at much give back: one module for each, frozen value objects without I/O."""
