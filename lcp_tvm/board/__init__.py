"""What a PC makes for a board: its agent, and the kit that installs it there."""
