"""Two engines behind one interface: the real Pulumi CLI, and one that runs inside this process."""
