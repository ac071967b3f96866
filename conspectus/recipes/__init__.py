"""What a recipe says, its steps, and how it is carried out."""
