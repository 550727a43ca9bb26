"""What pages share: the controls, and how answers, waiting and errors look."""
