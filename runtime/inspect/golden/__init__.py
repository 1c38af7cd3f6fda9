"""Golden samples: a tested picture against good ones, without any learning."""
