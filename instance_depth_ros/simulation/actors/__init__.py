"""Who acts: people, animals, vehicles, balls and rackets; where they go, and what they do."""
