"""What benchmarks are made of: null partners, contenders as processes, and what each of them costs."""
