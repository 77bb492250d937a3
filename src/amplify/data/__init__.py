"""What to learn from: episodes on disk (LeRobotDataset v3), sidecars beside them, training windows over both."""
