"""What a trained model is asked for beside the book: its samples in files, an image denoised."""
