"""Where windows are counted: one atomic step behind a small seam."""
