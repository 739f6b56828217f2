"""What an integration engineer uses to have a hospital live in a day."""
