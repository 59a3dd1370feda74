"""What our group adds to torch-image-benchmark."""
