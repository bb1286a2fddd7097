"""One script a question, each side by side with what it is measured against."""
