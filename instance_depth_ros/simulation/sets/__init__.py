"""What stands still: surfaces, furniture, courts, pens, light."""
