"""What studies are made of: recordings, trained models, measurements."""
