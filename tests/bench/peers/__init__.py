"""What we measure ourselves against, each with its best sensible settings for the machine."""
