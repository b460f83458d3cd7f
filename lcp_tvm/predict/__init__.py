"""What a plan would cost on a cluster, before anyone owns the boards."""
