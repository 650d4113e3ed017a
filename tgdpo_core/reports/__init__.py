"""What a person looks at: statistics of rewards and weights, failure signs, token heat maps."""
