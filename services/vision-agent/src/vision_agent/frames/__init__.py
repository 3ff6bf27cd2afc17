"""What is to be seen in frames of a shared screen: pure functions over arrays, no I/O."""
