"""What this machine has and lacks for streaming depth, each lack with the command that mends it."""
